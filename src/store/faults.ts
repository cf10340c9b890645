import { AppError } from '../core/errors.ts';

/** The same request id for something else is a caller's fault: giving the first answer would hide that nothing was revoked. */
export const requestIdReused = (): AppError =>
  new AppError('conflict', 'This request id was used for another revocation. Send the request again with a new one.', {
    reason: 'request_id_reused',
  });

/** Session ids are random; a second session under the same one would inherit the first one's artefacts. */
export const sessionExists = (): AppError =>
  new AppError('conflict', 'This sign-in has been completed already. Begin a new one.', { reason: 'session_exists' });
