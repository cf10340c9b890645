import { AppError } from '../../core/errors.ts';
import { unavailable } from './unavailable.ts';

/** Scripts that say themselves whether they write (`#!lua`) came with this version; older servers cannot refuse them on a follower. */
const OLDEST_VERSION = 7;

const fieldOf = (info: string, name: string): string | undefined =>
  info
    .split(/\r?\n/)
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1);

/**
 * Whether a server may hold the gate's memory.
 * @param info the answer of INFO
 * @returns why not, or undefined. A cluster would part keys and fail over by rules of its own
 *   (docs/revocation-protocol.md#settings knows 1 or 3 nodes)
 */
export function judgeServer(info: string): AppError | undefined {
  if (fieldOf(info, 'redis_mode') === 'cluster' || fieldOf(info, 'cluster_enabled') === '1') {
    return unavailable('redis_cluster_mode', new Error('Redis Cluster is not supported: use one server, or Sentinel'));
  }
  const version = fieldOf(info, 'redis_version') ?? 'unknown';
  if (!(Number.parseInt(version, 10) >= OLDEST_VERSION)) {
    return unavailable(
      'redis_too_old',
      new Error(`Redis ${OLDEST_VERSION} or newer is needed, this one says ${version}`),
    );
  }
  // Threat: an evicted log or index is a forgotten revocation. Neither has a TTL, so policies that evict only what has one spare them, and forget
  // sessions, and which sessions at a provider are over: told as a warning.
  const policy = fieldOf(info, 'maxmemory_policy') ?? 'unknown';
  if (policy.startsWith('allkeys-')) {
    return unavailable('redis_evicts', new Error(`maxmemory-policy is ${policy}; set it to noeviction`));
  }
  return undefined;
}

/** A server that evicts what has a TTL forgets sessions, so that people must sign in again, and sign-outs at a provider while a sign-in is under way. @returns a warning, or undefined */
export function judgeUpkeep(info: string): AppError | undefined {
  const policy = fieldOf(info, 'maxmemory_policy') ?? 'unknown';
  if (policy === 'noeviction') return undefined;
  return new AppError(
    'internal',
    `Redis has maxmemory-policy ${policy}: set it to noeviction, or it may forget sessions, and sign-outs that a provider has told.`,
    {
      reason: 'redis_eviction',
    },
  );
}

/** @param info the answer of INFO with its part `memory` @returns from 0 to 1; undefined where the server has no limit */
export function fullnessOf(info: string): number | undefined {
  const [used, most] = ['used_memory', 'maxmemory'].map((name) => Number(fieldOf(info, name)));
  return used !== undefined && most !== undefined && most > 0 ? used / most : undefined;
}
