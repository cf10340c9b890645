/** Messages for a job's log where its token was good but there is no session. */
import type { GuardRejection } from '../../revocation/revocation.ts';
import type { MintRejection } from '../../store/store.ts';

export function sessionOverMessage(reason: MintRejection | GuardRejection | 'subject_token_used'): string {
  switch (reason) {
    case 'account_locked':
      return 'This workload is locked here. Ask your platform team to unlock it.';
    case 'certificate_mismatch':
      return 'This subject token was used with another client certificate before. Get a new one from its issuer.';
    case 'fresh_sign_in_needed':
      return 'This workload was revoked after the subject token was issued. Get a new one from its issuer.';
    case 'sessions_too_many':
      return 'This workload has more sessions than one may have. Wait until some have ended, or ask your platform team.';
    case 'session_unknown':
    case 'session_expired':
    case 'session_revoked':
    case 'grant_ended':
    case 'subject_token_used':
    case 'parent_over':
    case 'delegations_too_many':
    case 'epoch_changed':
    case 'fenced':
      return 'The session of this subject token is over: it has expired or was revoked. Get a new token from its issuer.';
  }
}
