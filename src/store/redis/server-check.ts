/** Whether a Redis server is suitable. */
import { AppError } from '../../core/errors.ts';
import { unavailable } from './unavailable.ts';

/**
 * Scripts that declare whether they write (`#!lua`) came with this version; older servers cannot reject them on a
 * follower.
 */
const OLDEST_VERSION = 7;

/** Returns a field of INFO's reply. An empty one, by which a service may hide it, counts as missing. */
export const fieldOf = (info: string, name: string): string | undefined =>
  info
    .split(/\r?\n/)
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1) || undefined;

const missing = (field: string): AppError =>
  unavailable('redis_incomplete', new Error(`INFO of this server has no ${field}`));

/** Returns `standalone` or `cluster`. Valkey writes `server_mode` where it does not imitate Redis. */
export const modeOf = (info: string): string | undefined =>
  fieldOf(info, 'cluster_enabled') === '1' ? 'cluster' : (fieldOf(info, 'redis_mode') ?? fieldOf(info, 'server_mode'));

/** A cluster would split keys and fail over by its own rules (docs/revocation-protocol.md#settings allows 1 or 3 nodes). */
export function checkMode(info: string): AppError | undefined {
  const mode = modeOf(info);
  if (mode === undefined) return missing('redis_mode');
  if (mode !== 'cluster') return undefined;
  return unavailable('redis_cluster_mode', new Error('Redis Cluster is not supported: use one server, or Sentinel'));
}

export function checkVersion(info: string): AppError | undefined {
  const version = fieldOf(info, 'redis_version') ?? 'unknown';
  if (Number.parseInt(version, 10) >= OLDEST_VERSION) return undefined;
  return unavailable(
    'redis_too_old',
    new Error(`Redis ${OLDEST_VERSION} or newer is needed, this one says ${version}`),
  );
}

/**
 * An evicted log or index is a forgotten revocation. Neither has a TTL, so policies that evict only keys with a TTL
 * spare them. Those policies can evict sessions and the marks of closed sessions at a provider, which is reported as a
 * warning.
 */
export function checkPolicy(info: string): AppError | undefined {
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy === undefined) return missing('maxmemory_policy');
  if (policy === 'noeviction' || policy.startsWith('volatile-')) return undefined;
  return unavailable('redis_evicts', new Error(`maxmemory-policy is ${policy}; set it to noeviction`));
}

/**
 * Checks whether a server is suitable as the store.
 * @param info the reply of INFO
 * @returns why not, or undefined
 */
export const checkServer = (info: string): AppError | undefined =>
  checkMode(info) ?? checkVersion(info) ?? checkPolicy(info);

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
  return used !== undefined && most !== undefined && used >= 0 && most > 0 ? used / most : undefined;
}
