/** Why the store wrote nothing. */
import type { AccessRejection, AccessResult } from '../../core/api/rejections.ts';
import { no } from '../../core/result.ts';
import type { AccessWriteRejection } from '../../store/store.ts';

/** Returns why the store wrote nothing, for users. */
export const unwritten = (reason: AccessWriteRejection): AccessResult<never> => no(ofWrite(reason));

function ofWrite(reason: AccessWriteRejection): AccessRejection {
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
