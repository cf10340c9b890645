/** Every code of the API for delegated sessions. Those of `OWN_PROBLEMS` are of any call; the service rejects with each of the others. */
import { OWN_PROBLEMS } from './own-operations.ts';
import type { ProblemDescription } from './operation.ts';

export const DELEGATION_PROBLEMS = {
  ...OWN_PROBLEMS,
  name_malformed: { status: 400, when: 'the name has other characters, or too many' },
  clusters_missing: { status: 400, when: 'no cluster is named' },
  cluster_unknown: { status: 400, when: 'there is no such cluster, or the user may not use it' },
  limits_missing: { status: 400, when: 'nothing would limit the session' },
  limits_malformed: { status: 400, when: 'a limit is malformed; `detail` has its place' },
  limits_too_large: {
    status: 400,
    when: 'the limits, with those of the sessions above, have more than 8192 bytes as JSON',
  },
  seconds_malformed: { status: 400, when: 'it is no whole number, or less than 1' },
  key_malformed: { status: 400, when: 'there is no thumbprint, or it is none' },
  key_of_session_above: { status: 400, when: 'it is the key of a session above' },
  levels_too_many: { status: 400, when: 'four delegated sessions are above one another already' },
  parent_over: { status: 401, when: 'the session that it would be made from has ended meanwhile' },
  delegation_disabled: { status: 403, when: '`delegation.enabled` is off' },
  delegation_not_allowed: { status: 403, when: 'the user is in none of `delegation.groups`' },
  workload: { status: 403, when: 'the session is that of a workload' },
  account_locked: { status: 403, when: 'the account is locked' },
  cluster_not_delegable: { status: 403, when: 'it is none of `delegation.clusters`' },
  cluster_beyond_parent: { status: 403, when: 'the session above was not given that cluster' },
  limits_beyond_parent: {
    status: 403,
    when: 'they are wider than those above or `delegation.most`; `detail` names the first',
  },
  source_beyond_parent: { status: 403, when: 'the session above may be used from fewer addresses' },
  session_not_found: { status: 404, when: 'there is no such delegated session among the caller’s' },
  time_over: {
    status: 409,
    when: 'its time was over before it was opened: it was too short, or a clock was changed',
  },
  name_taken: { status: 409, when: 'a registered client (`delegation.clients`) has this name' },
  key_used: { status: 409, when: 'another delegated session has this key' },
  delegations_too_many: {
    status: 409,
    when: 'the user’s own session has `delegation.perSession` beneath it already',
  },
  sessions_too_many: { status: 409, when: 'the account has as many sessions as one may have' },
  store_restarted: { status: 409, when: 'the store was restarted meanwhile' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;
