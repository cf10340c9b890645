import { AppError } from '../../core/errors.ts';
import { unavailable } from './unavailable.ts';

/**
 * Scripts that declare whether they write (`#!lua`) came with this version; older servers cannot reject them on a
 * follower.
 */
const OLDEST_VERSION = 7;

const fieldOf = (info: string, name: string): string | undefined =>
  info
    .split(/\r?\n/)
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1);

/**
 * Checks whether a server is suitable as the store.
 * @param info the reply of INFO
 * @returns why not, or undefined. A cluster would split keys and fail over by its own rules
 * (docs/revocation-protocol.md#settings allows 1 or 3 nodes)
 */
export function checkServer(info: string): AppError | undefined {
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
  // An evicted log or index is a forgotten revocation. Neither has a TTL, so policies that evict only keys with a
  // TTL spare them. Those policies can evict sessions and the marks of closed sessions at a provider, which is
  // reported as a warning.
  const policy = fieldOf(info, 'maxmemory_policy') ?? 'unknown';
  if (policy.startsWith('allkeys-')) {
    return unavailable('redis_evicts', new Error(`maxmemory-policy is ${policy}; set it to noeviction`));
  }
  return undefined;
}

/**
 * Checks whether a server may evict keys with a TTL. It would forget sessions, so that users must sign in again,
 * and sign-outs at a provider while a sign-in is in progress.
 * @returns a warning, or undefined
 */
export function checkEviction(info: string): AppError | undefined {
  const policy = fieldOf(info, 'maxmemory_policy') ?? 'unknown';
  if (policy === 'noeviction') return undefined;
  return new AppError(
    'internal',
    `Redis has maxmemory-policy ${policy}: set it to noeviction. Otherwise Redis may drop sessions, and sign-outs that a provider has reported.`,
    {
      reason: 'redis_eviction',
    },
  );
}

/**
 * @param info the reply of INFO with its section `memory`
 * @returns the used part, from 0 to 1; undefined if the server has no limit
 */
export function fullnessOf(info: string): number | undefined {
  const [used, most] = ['used_memory', 'maxmemory'].map((name) => Number(fieldOf(info, name)));
  return used !== undefined && most !== undefined && most > 0 ? used / most : undefined;
}
