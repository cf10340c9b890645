/** Why the store wrote nothing, for users. */
import type { ProblemError } from '../../http/problem.ts';
import type { AccessWriteRejection } from '../../store/store.ts';
import { rejection, requestNotFound } from './rejections.ts';

export function writeRejection(reason: AccessWriteRejection): ProblemError {
  switch (reason) {
    case 'request_unknown':
      return requestNotFound();
    case 'request_changed':
      return rejection('request_busy', 'Others change this request at the same moment. Try again.');
    case 'request_over':
      return rejection('request_expired', 'No one decided about this request in time. It must be asked for again.');
    case 'session_over':
      return rejection('requester_gone', 'The session that asked is over. Its user must sign in and ask again.');
    case 'approver_over': {
      const message =
        'The session of someone who approved this has just ended. Look at the request, then decide again.';
      return rejection(reason, message);
    }
    case 'session_delegated':
      return rejection('delegated_session', 'A delegated session is given no role. Ask for your own session.');
    case 'account_locked':
      return rejection('account_locked', 'The account that asked is locked here.');
    case 'requests_too_many': {
      const message =
        'As many requests for this role, or for all, wait for approval as may. Approvers must decide about some of them first.';
      return rejection(reason, message);
    }
    case 'requests_of_account_too_many': {
      const message =
        'As many of your requests wait as may, or you have asked too often within a day. Withdraw some (portcullis access end), or wait.';
      return rejection(reason, message);
    }
    case 'grants_too_many':
      return rejection(reason, 'As many users have this role, or any, as may. One of them must end theirs first.');
    case 'grants_of_account_too_many':
      return rejection(reason, 'You have as many roles as an account may have. End one first (portcullis access end).');
    case 'grants_of_session_too_many':
      return rejection(
        reason,
        'This session has as many roles as one may have. End one first (portcullis access end).',
      );
  }
}
