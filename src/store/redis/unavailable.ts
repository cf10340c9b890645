/** The error of a store that is unavailable, with the message for its reason. */
import { AppError } from '../../core/errors.ts';

const DEFAULT_MESSAGE =
  'Portcullis cannot reach its store, so it cannot check anything and allows nothing. Try again in a moment; if this persists, tell your administrator.';

/** Messages for reasons that need another one, because the user must wait or an operator must act. */
const MESSAGES: { readonly [R in UnavailableReason]?: string } = {
  epoch_unsettled:
    'The store has just begun a new epoch, and Portcullis first makes sure that no lock on an account is lost. Try again in a few seconds.',
  clock_off:
    "This replica's clock differs from its store's by more than a minute, so it must not serve requests. For the operator: repair time synchronisation on its node.",
  redis_cluster_mode:
    'Redis Cluster is not supported. For the operator: use one server, or three nodes behind Sentinel.',
  redis_too_old: 'This Redis is too old. For the operator: version 7 or newer is needed.',
  redis_evicts:
    'This Redis evicts any key when its memory is full, revocations included. For the operator: set maxmemory-policy to noeviction.',
  redis_incomplete:
    'This Redis does not report whether it is a cluster, or whether it evicts keys, so Portcullis must assume the worst. For the operator: portcullis store check names what is missing.',
  redis_unidentified:
    'This Redis does not report its run id and its replication id, so a restart that forgot a revocation would go unnoticed. For the operator: use another Redis; portcullis store check tells whether one is suitable.',
  log_entry_unreadable:
    "This version cannot read an entry of the store's revocation log, and that entry may revoke any session. For the operator: finish the upgrade, or find out what else writes to Redis.",
  redis_full:
    'The store is full, so no user can sign in. Existing sessions continue. For the operator: give Redis more memory (maxmemory).',
  redis_bad_reply:
    "This version cannot read the store's reply. For the operator: finish the upgrade, or find out what else writes to Redis.",
  redis_unacknowledged:
    'Too few Redis nodes confirm writes, so they cannot be relied on. For the operator: bring the followers back.',
  store_empty:
    'The store is empty: it may have lost its data, including every lock on an account. For the operator: restore Redis from its data, or, if it is new or the locks do not matter, start one replica with revocation.emptyStore set to init; the others follow.',
};

/** Why the store did not respond, for the log and the audit log. */
export type UnavailableReason =
  | 'redis_timeout'
  | 'redis_unreachable'
  | 'redis_error' // an error reply; its code is in `cause`
  | 'redis_full' // its memory is used up: nothing new is stored
  | 'redis_bad_reply'
  | 'redis_cluster_mode'
  | 'redis_too_old'
  | 'redis_evicts' // maxmemory-policy allkeys-…
  | 'redis_incomplete' // INFO lacks a field by which one of the three above is decided
  | 'redis_unidentified' // INFO lacks the run id or the replication id
  | 'redis_read_only'
  | 'redis_unacknowledged' // too few followers have confirmed what was written
  | 'epoch_unsettled' // the epoch is younger than W, or epochs began faster than this call could follow
  | 'store_empty' // there is no epoch, this process has been in none, and `revocation.emptyStore` is `refuse`
  | 'clock_off' // this replica's wall clock and the store's differ by more than the skew
  | 'log_entry_unreadable'
  | 'store_closed';

export const unavailable = (reason: UnavailableReason, cause?: unknown): AppError =>
  new AppError('store_unavailable', MESSAGES[reason] ?? DEFAULT_MESSAGE, {
    reason,
    ...(cause === undefined ? {} : { cause: scrubbed(cause) }),
  });

/**
 * ioredis attaches the command with its arguments to its errors (the password of AUTH among them), and Redis
 * repeats the arguments of an unknown command. An attacker who reads logs must not find a secret there, so only
 * the text before them is kept.
 */
function scrubbed(cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error('unknown failure');
  const text = cause.message.split(/,? with args beginning/i)[0] ?? '';
  const clean = new Error(text.slice(0, 300));
  clean.name = cause.name;
  return clean;
}

export const TIMED_OUT = 'Command timed out';

/** Converts whatever ioredis threw into the one error of this module. */
export function toUnavailable(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  const { name, message } = cause instanceof Error ? cause : { name: '', message: '' };
  if (message === TIMED_OUT) return unavailable('redis_timeout', cause);
  if (name !== 'ReplyError') return unavailable('redis_unreachable', cause);
  if (message.startsWith('READONLY')) return unavailable('redis_read_only', cause);
  return unavailable(message.startsWith('OOM') ? 'redis_full' : 'redis_error', cause);
}
