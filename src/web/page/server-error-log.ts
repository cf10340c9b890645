/** The log of errors that are not the caller's, under the request id that the page and the audit event have. */
import { causeField } from '../../core/errors.ts';
import { appErrorOf } from '../../http/error-status.ts';
import type { WebDeps } from '../dependencies.ts';

/** Called where a response is sent, so that each error is logged once. */
export function logServerError({ logger }: Pick<WebDeps, 'logger'>, requestId: string, thrown: unknown): void {
  const { error, status } = appErrorOf(thrown);
  if (status < 500) return;
  const { code, reason } = error;
  logger.error({ requestId, code, reason, ...causeField(error), err: thrown }, 'request failed');
}
