/** The errors of the store that both implementations share. */
import { AppError } from '../core/errors.ts';

/**
 * The request id was used for a different revocation. Returning the first result would hide that nothing was
 * revoked.
 */
export const requestIdReused = (): AppError =>
  new AppError('conflict', 'This request id was used for another revocation. Send the request again with a new one.', {
    reason: 'request_id_reused',
  });

/**
 * The approval was used already. Unlike a store that is unavailable, this is final: the revocation was not written
 * and never will be.
 */
export const approvalSpent = (): AppError =>
  new AppError('conflict', 'This approval was used already, or is older than 15 minutes.', {
    reason: 'approval_spent',
  });

/** Session ids are random. A second session under the same id would inherit the artefacts of the first. */
export const sessionExists = (): AppError =>
  new AppError('conflict', 'This sign-in was completed already. Start a new one.', { reason: 'session_exists' });
