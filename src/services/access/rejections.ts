/** Every reason why a request, a decision or an end is rejected, with what its text needs. */
import type { ACCESS_PROBLEMS } from '../../core/api/access-problems.ts';
import type { OWN_PROBLEMS } from '../../core/api/own-operations.ts';
import { no, type Result } from '../../core/result.ts';
import type { AccessWriteRejection } from '../../store/store.ts';

/** `provider_unavailable` is an error of the provider, and no decision. */
type Reason = Exclude<keyof typeof ACCESS_PROBLEMS, keyof typeof OWN_PROBLEMS | 'provider_unavailable'>;

/** What the text of a reason depends on. */
interface Details {
  readonly seconds_malformed: { readonly longest: number };
  readonly reason_needed: { readonly pattern: string };
  readonly fresh_sign_in_needed: { readonly withinSeconds: number };
  readonly freshness_unprovable: { readonly provider: string; readonly purpose: 'approval' | 'request' };
  readonly delegated_session: { readonly act: 'ask' | 'have' };
  readonly sign_in_again: { readonly because: 'unconfirmed' | 'earlier_version' };
  readonly requester_signs_in_again: { readonly because: 'unconfirmed' | 'earlier_version' };
  readonly own_request: { readonly isSameAccount: boolean };
  readonly grant_over: { readonly act: 'decide' | 'end' };
  readonly request_busy: { readonly others: 'decide' | 'change' | 'have_decided' };
}

export type AccessRejection = {
  readonly [R in Reason]: { readonly reason: R } & (R extends keyof Details ? Details[R] : unknown);
}[Reason];

/** What a decision returns. */
export type Judgement<T> = Result<T, AccessRejection>;

export const rejected = (rejection: AccessRejection): { readonly ok: false; readonly reason: AccessRejection } =>
  no(rejection);

/** Returns why the store wrote nothing, for users. */
export function ofWrite(reason: AccessWriteRejection): AccessRejection {
  switch (reason) {
    case 'request_unknown':
      return { reason: 'request_not_found' };
    case 'request_changed':
      return { reason: 'request_busy', others: 'change' };
    case 'request_over':
      return { reason: 'request_expired' };
    case 'session_over':
      return { reason: 'requester_gone' };
    case 'session_delegated':
      return { reason: 'delegated_session', act: 'have' };
    case 'approver_over':
    case 'account_locked':
    case 'requests_too_many':
    case 'requests_of_account_too_many':
    case 'grants_too_many':
    case 'grants_of_account_too_many':
    case 'grants_of_session_too_many':
      return { reason };
  }
}
