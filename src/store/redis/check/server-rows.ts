/** What the settings of a Redis server say of whether it is suitable. */
import { checkMode, checkPolicy, checkVersion, fieldOf, fullnessOf, modeOf } from '../server-check.ts';
import { rowsOf, type CheckRow } from './row.ts';

const NOTHING_SERVED = 'Portcullis rejects this server, so every request gets 503.';
/** The part of `maxmemory` from which on an operator should act. */
const NEARLY_FULL = 0.8;

/** Judges the reply of INFO, by the rules by which the store does. */
export const infoRows = (info: string): readonly CheckRow[] => [
  versionRow(info),
  modeRow(info),
  roleRow(info),
  evictionRow(info),
  memoryRow(info),
  persistenceRow(info),
];

function versionRow(info: string): CheckRow {
  const { ok, no } = rowsOf('version', 'Redis 7 or newer, or a fork that reports such a version');
  const redis = fieldOf(info, 'redis_version');
  const valkey = fieldOf(info, 'valkey_version');
  const found = `${valkey === undefined ? '' : `Valkey ${valkey}, which reports `}${redis ?? 'no redis_version'}`;
  return checkVersion(info) === undefined
    ? ok(found, 'The server rejects scripts on a follower, where nothing may be read.')
    : no(found, NOTHING_SERVED);
}

function modeRow(info: string): CheckRow {
  const { ok, no } = rowsOf('mode', 'no cluster mode');
  const mode = modeOf(info);
  if (mode === undefined) return no('INFO has no redis_mode', `It may be a cluster. ${NOTHING_SERVED}`);
  return checkMode(info) === undefined
    ? ok(mode, 'One server has all keys, so one script may use any of them.')
    : no(mode, NOTHING_SERVED);
}

function roleRow(info: string): CheckRow {
  const { ok, warn, no } = rowsOf('role', 'master');
  const role = fieldOf(info, 'role');
  if (role === undefined)
    return warn('INFO has no role', 'Whether this is the primary shows only in the scripts below.');
  return role === 'master'
    ? ok(role, 'Scripts read and write here.')
    : no(role, 'Nothing is read from a follower, so every request gets 503: give the address of the primary.');
}

function evictionRow(info: string): CheckRow {
  const { ok, warn, no } = rowsOf('eviction', 'maxmemory-policy noeviction');
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy === undefined) return no('INFO has no maxmemory_policy', `It may evict revocations. ${NOTHING_SERVED}`);
  if (checkPolicy(info) !== undefined) return no(policy, `It evicts revocations too. ${NOTHING_SERVED}`);
  return policy === 'noeviction'
    ? ok(policy, 'When memory is full, no user can sign in, and revocations still pass.')
    : warn(policy, 'When memory is full, sessions and sign-outs that a provider has reported are lost.');
}

function memoryRow(info: string): CheckRow {
  const { ok, warn } = rowsOf('memory', 'less than 80 % of maxmemory in use');
  const fullness = fullnessOf(info);
  if (fullness === undefined)
    return warn(
      'no limit is reported',
      'Portcullis cannot warn before memory is full, and the system may end the server then.',
    );
  const found = `${Math.round(fullness * 100)} % of ${sizeOf(Number(fieldOf(info, 'maxmemory')))}`;
  return fullness < NEARLY_FULL
    ? ok(found, 'There is space for sessions: about 34 kB for each (docs/sizing.md).')
    : warn(found, 'Soon no user can sign in: give the server more memory.');
}

const sizeOf = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;

function persistenceRow(info: string): CheckRow {
  const { ok, warn } = rowsOf('persistence', 'append-only file');
  const file = fieldOf(info, 'aof_enabled');
  if (file === '1')
    return ok(
      'append-only file is on',
      'A restart ends every session, so all users sign in again; locks on accounts stay.',
    );
  const lost = 'A restart ends every session, and locks on accounts stay only if a replica keeps running meanwhile.';
  if (file === undefined) return warn('not reported', lost);
  const saved = new Date(Number(fieldOf(info, 'rdb_last_save_time')) * 1000);
  // An attacker who controls the server writes a time that no date has.
  const snapshot = saved.getTime() > 0 ? `, last snapshot ${saved.toISOString()}` : '';
  return warn(`append-only file is off${snapshot}`, lost);
}
