import { AppError } from '../core/errors.ts';

/** The same request id for something else is a caller's fault: giving the first answer would hide that nothing was revoked. */
export const requestIdReused = (): AppError =>
  new AppError('conflict', 'This request id was used for another revocation. Send the request again with a new one.', {
    reason: 'request_id_reused',
  });

/** Told apart from a store that is away: this revocation was not written and never will be. */
export const approvalSpent = (): AppError =>
  new AppError('conflict', 'This approval is used up, or older than 15 minutes.', { reason: 'approval_spent' });

/** Session ids are random; a second session under the same one would inherit the first one's artefacts. */
export const sessionExists = (): AppError =>
  new AppError('conflict', 'This sign-in has been completed already. Begin a new one.', { reason: 'session_exists' });
