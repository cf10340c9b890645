/** Every reason why a step-up is not begun or not finished. */
import { AppError } from '../../core/errors.ts';
import type { Unproven } from '../../core/identity/auth-time.ts';
import { unprovableMessage, unprovenMessage } from '../../core/identity/fresh-sign-in.ts';
import { STEP_UP_PROBLEMS } from '../../core/api/step-up-problems.ts';
import { rejectionProblem, type ProblemError } from '../../http/problem.ts';

const rejected = (problem: keyof typeof STEP_UP_PROBLEMS, message: string): ProblemError =>
  rejectionProblem({ problem, status: STEP_UP_PROBLEMS[problem].status }, message);

export const delegated = (): ProblemError =>
  rejected('step_up_delegated', 'A delegated session never steps up: what needs it, its user’s own session must do.');

export const workload = (): ProblemError =>
  rejected('step_up_workload', 'A workload never steps up, because no user is there to sign in.');

export const unprovable = (provider: string): ProblemError =>
  rejected('freshness_unprovable', unprovableMessage(provider, 'step-up'));

export const codesOff = (): ProblemError =>
  rejected(
    'device_code_off',
    'Codes are switched off here (sessions.deviceCode), so this needs a browser on the same machine.',
  );

/** One message for all of them: an attacker who guesses codes must not learn which ones exist. */
export const notPending = (reason: 'step_up_unknown' | 'step_up_over'): AppError =>
  new AppError(
    'sign_in_expired',
    'This is not known here, has been used, or is older than ten minutes. Run “portcullis step-up” again.',
    { reason },
  );

export const notFound = (): ProblemError =>
  rejected(
    'step_up_unknown',
    'There is no such step-up of this session; it may be older than ten minutes. Run “portcullis step-up” again.',
  );

export const codeRejected = (): ProblemError =>
  rejected('step_up_code', 'This code is not one of this step-up, or is too old. Run “portcullis step-up” again.');

export const otherAccount = (): AppError =>
  new AppError(
    'sign_in_refused',
    'You signed in as another user than that of the session, so nothing has changed. Sign out at your identity provider, then start again as the user of the session.',
    { reason: 'other_account' },
  );

export const groupsChanged = (): AppError =>
  new AppError(
    'sign_in_refused',
    'Your identity provider has taken you out of a group that this session still has, so nothing has changed. Sign in again.',
    { reason: 'groups_changed' },
  );

/** @param at.authTime as the provider said it, which is none or in the future. @param at.now epoch seconds */
export function notProven(
  provider: string,
  { authTime, now }: { readonly authTime: number | undefined; readonly now: number },
): AppError {
  const unproven: Unproven =
    authTime === undefined ? { defect: 'missing', seen: 'absent' } : { defect: 'future', seen: String(authTime) };
  const message = unprovenMessage(unproven, { provider, purpose: 'step-up', now });
  return new AppError('sign_in_refused', message, { reason: 'fresh_sign_in_needed' });
}

export const sessionOver = (reason = 'session_unknown'): AppError =>
  new AppError('sign_in_expired', 'The session has ended meanwhile. Run “portcullis login”.', { reason });
