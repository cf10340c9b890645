/** Every reason why a delegated session is not made, with the HTTP status that the API gives it. */
import type { DelegationRejection } from '../../core/delegation/delegation.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { no } from '../../core/result.ts';

export const REJECTIONS = {
  delegation_disabled: 403,
  delegation_not_allowed: 403,
  workload: 403,
  name_malformed: 400,
  name_taken: 409,
  levels_too_many: 400,
  clusters_missing: 400,
  cluster_unknown: 400,
  cluster_not_delegable: 403,
  cluster_beyond_parent: 403,
  limits_missing: 400,
  limits_malformed: 400,
  limits_too_large: 400,
  limits_beyond_parent: 403,
  source_beyond_parent: 403,
  seconds_malformed: 400,
  key_malformed: 400,
  key_of_session_above: 400,
  key_used: 409,
  time_over: 409,
  parent_over: 401,
  account_locked: 403,
  delegations_too_many: 409,
  sessions_too_many: 409,
  store_restarted: 409,
} as const satisfies Readonly<Record<string, number>>;

export type RejectionReason = keyof typeof REJECTIONS;

/** A rejection whose reason is one of the table. */
export interface Rejection extends DelegationRejection {
  readonly reason: RejectionReason;
}

export const rejected = (
  reason: RejectionReason,
  message: string,
): { readonly ok: false; readonly reason: Rejection } => no({ reason, message });

const CODES: Readonly<Record<(typeof REJECTIONS)[RejectionReason], ErrorCode>> = {
  400: 'bad_request',
  401: 'unauthenticated',
  403: 'forbidden',
  409: 'conflict',
};

export const errorCodeOf = (reason: RejectionReason): ErrorCode => CODES[REJECTIONS[reason]];
