/** What Lua scripts may name in capitals, and the fields that they return, in this order. */
import {
  HISTORY_SECONDS,
  MOST_DAILY_OF_ACCOUNT,
  MOST_GRANTS,
  MOST_GRANTS_OF_ACCOUNT,
  MOST_GRANTS_OF_SESSION,
  MOST_KEPT,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
} from '../../core/access/request.ts';
import { USE_SECONDS } from '../last-use.ts';
import {
  ENTRY_SKEW_SECONDS,
  FRESH_KEPT_SECONDS,
  LONGEST_LOG,
  MOST_LABELS,
  MOST_SESSIONS_OF_AN_ACCOUNT,
  NOTICE_KEPT_SECONDS,
} from '../lifetimes.ts';
import { SCORES_PER_SECOND } from '../pages.ts';
import { PENDING_KEPT_SECONDS } from '../pending.ts';
import { SUBSCRIPTION_NEWS } from './news.ts';

/**
 * Ends the `ep` of a delegated session. An earlier version knows neither its limits nor the sessions above it: it would
 * give an attacker who has its key all the rights of its user, also after the user's own session was revoked. So the
 * `ep` is one that such a version takes for an epoch that is over, and rejects.
 */
export const DELEGATED = '+';

/** The keys of `portcullis store check`. */
export const CHECK_KEYS = 'check:';

/** Fields of a session (`readFields`). */
export const SESSION_FIELDS = [
  'ep',
  'acc',
  'prov',
  'sn',
  'exp',
  'idle',
  'lu',
  'v',
  'tp',
  'r',
  'x',
  'seq',
  'via',
  'un',
  'ck',
  'ps',
  'lr',
  'up',
  'gr',
] as const;

/** Fields of an access request (`openRequest`). */
export const REQUEST_FIELDS = ['ep', 'kept', 'v', 'st', 'acc', 'sess', 'open', 'end', 'place', 'r'] as const;

export const CONSTANTS: Readonly<Record<string, string | number | readonly string[]>> = {
  CHECK_KEYS,
  DELEGATED,
  ENTRY_SKEW_SECONDS,
  FRESH_KEPT_SECONDS,
  HISTORY_SECONDS,
  LONGEST_LOG,
  MOST_DAILY_OF_ACCOUNT,
  MOST_GRANTS,
  MOST_GRANTS_OF_ACCOUNT,
  MOST_GRANTS_OF_SESSION,
  MOST_KEPT,
  MOST_LABELS,
  MOST_OPEN,
  MOST_OPEN_OF_ACCOUNT,
  MOST_SESSIONS_OF_AN_ACCOUNT,
  NOTICE_KEPT_SECONDS,
  PENDING_KEPT_SECONDS,
  REQUEST_FIELDS,
  SCORES_PER_SECOND,
  SESSION_FIELDS,
  SUBSCRIPTION_NEWS,
  USE_SECONDS,
};
