/** Why a delegated session is not made. */
import type { DELEGATION_PROBLEMS } from '../../core/api/delegations-problems.ts';
import type { OWN_PROBLEMS } from '../../core/api/own-operations.ts';
import type { DelegationRejection } from '../../core/delegation/delegation.ts';
import { no } from '../../core/result.ts';

/** One that is not there cannot be read or ended; all others are about an order. */
export type RejectionReason = Exclude<
  keyof typeof DELEGATION_PROBLEMS,
  keyof typeof OWN_PROBLEMS | 'session_not_found'
>;

export interface Rejection extends DelegationRejection {
  readonly reason: RejectionReason;
}

export const rejected = (
  reason: RejectionReason,
  message: string,
): { readonly ok: false; readonly reason: Rejection } => no({ reason, message });
