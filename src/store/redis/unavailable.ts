import { AppError } from '../../core/errors.ts';

const WORDS =
  'Portcullis cannot reach its store, so nothing can be checked and nothing is allowed. Try again in a moment; if it lasts, tell your administrator.';

/** Reasons that ask for other words: what helps is to wait, or an operator. */
const OTHER_WORDS: { readonly [R in UnavailableReason]?: string } = {
  epoch_unsettled:
    'The store has just begun anew, and Portcullis makes sure first that nobody is forgotten who may not come in. Try again in a few seconds.',
  clock_off:
    "This replica's clock is off its store's by more than a minute, so it may serve nobody. For the operator: mend time synchronisation on its node.",
  redis_cluster_mode:
    'Redis Cluster is not supported. For the operator: use one server, or three nodes behind Sentinel.',
  redis_too_old: 'This Redis is too old. For the operator: version 7 or newer is needed.',
  redis_evicts:
    'This Redis evicts any key when its memory is full, revocations included. For the operator: set maxmemory-policy to noeviction.',
  log_entry_unreadable:
    "A row of the store's log cannot be read by this version, and it may revoke anybody. For the operator: finish the upgrade, or see who else writes to Redis.",
  redis_full:
    'The store is full, so nobody can sign in. What is signed in goes on. For the operator: give Redis more memory (maxmemory).',
  redis_bad_reply:
    'The store answered with something that this version cannot read. For the operator: finish the upgrade, or see who else writes to Redis.',
  redis_unacknowledged:
    'Too few of the Redis nodes confirm what is written, so nothing may be built on it. For the operator: bring the followers back.',
  store_empty:
    'The store is empty: it may have lost its data, and every lock on an account with it. For the operator: restore Redis from its data, or, where it is new or the locks do not matter, start one replica with revocation.emptyStore set to init; the others follow.',
};

/** Why the store gave no answer, for the log and the audit record. */
export type UnavailableReason =
  | 'redis_timeout'
  | 'redis_unreachable'
  | 'redis_error' // an error reply; its code is in `cause`
  | 'redis_full' // its memory is used up: nothing new is stored
  | 'redis_bad_reply'
  | 'redis_cluster_mode'
  | 'redis_too_old'
  | 'redis_evicts' // maxmemory-policy allkeys-…
  | 'redis_read_only'
  | 'redis_unacknowledged' // too few followers have confirmed what was written
  | 'epoch_unsettled' // the epoch is younger than W, or epochs began faster than this call could follow
  | 'store_empty' // there is no epoch, this process has been in none, and `revocation.emptyStore` is `refuse`
  | 'clock_off' // this replica's wall clock and the store's differ by more than the skew
  | 'log_entry_unreadable'
  | 'store_closed';

export const unavailable = (reason: UnavailableReason, cause?: unknown): AppError =>
  new AppError('store_unavailable', OTHER_WORDS[reason] ?? WORDS, {
    reason,
    ...(cause === undefined ? {} : { cause: scrubbed(cause) }),
  });

/**
 * Threat: ioredis hangs the command with its arguments on its errors (the password of AUTH among them) and Redis repeats the
 * arguments of a command that it does not know. Only the words before them are kept.
 */
function scrubbed(cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error('unknown failure');
  const words = cause.message.split(/,? with args beginning/i)[0] ?? '';
  const clean = new Error(words.slice(0, 300));
  clean.name = cause.name;
  return clean;
}

export const TIMED_OUT = 'Command timed out';

/** From whatever ioredis threw to the one error of this room. */
export function toUnavailable(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  const { name, message } = cause instanceof Error ? cause : { name: '', message: '' };
  if (message === TIMED_OUT) return unavailable('redis_timeout', cause);
  if (name !== 'ReplyError') return unavailable('redis_unreachable', cause);
  if (message.startsWith('READONLY')) return unavailable('redis_read_only', cause);
  return unavailable(message.startsWith('OOM') ? 'redis_full' : 'redis_error', cause);
}
