/** The handlers of changes: revocations, locks, drills. The service audits each. */
import { auditIdSchema, requestIdSchema } from '../../core/api/fields.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { passed } from '../../http/problem.ts';
import {
  cutStream,
  handleRevocation,
  liftFreshSignIn,
  revocationStatus,
  unlock,
  type RevocationReceipt,
  type RevocationRequest,
  type RunDrill,
} from '../../services/admin/admin.ts';
import type { Call, Reply } from '../call.ts';
import type { AdminApiService } from '../dependencies.ts';
import { accountOfPath, parsed, sessionIdOf, type AdminHandlers } from './handlers.ts';

/**
 * Adds the id that makes two attempts one revocation: `requestId`, or the header `Idempotency-Key`, which may be
 * quoted, because it is a structured field in the IETF's draft.
 */
function withRequestId({ header }: Call, request: RevocationRequest): RevocationRequest {
  const given = header('Idempotency-Key');
  if (given === undefined) return request;
  const key = parsed(requestIdSchema, given.replace(/^"(.*)"$/, '$1'), 'idempotency_key');
  if (request.requestId === undefined || request.requestId === key) return { ...request, requestId: key };
  const message = 'requestId and Idempotency-Key are not the same. Send one of them.';
  throw new AppError('bad_request', message, { reason: 'request_id_twice' });
}

export function changeHandlers(service: AdminApiService, runDrill: RunDrill) {
  const { deps } = service;
  async function revoked(call: Call, request: RevocationRequest): Promise<Reply<RevocationReceipt>> {
    const result = passed(ADMIN, await handleRevocation(service, call, withRequestId(call, request)));
    return { status: revocationStatus(result), body: result };
  }
  return {
    endSession: (call) => revoked(call, { session: sessionIdOf(call), reason: call.query.reason }),
    createRevocation: (call) => revoked(call, call.body),
    createLock: (call) => revoked(call, { ...call.body, lock: true }),
    async deleteLock(call) {
      const account = accountOfPath(call);
      passed(ADMIN, await unlock(deps, call, { account, reason: call.query.reason }));
      return { body: { account, locked: false as const } };
    },
    async cutStream(call) {
      const auditId = parsed(auditIdSchema, call.params['auditId'], 'audit_id');
      passed(ADMIN, await cutStream(deps, call, { ...call.query, auditId }));
      return { body: { auditId, open: false as const } };
    },
    async liftFreshSignIn(call) {
      const account = accountOfPath(call);
      const { reason, since } = call.query;
      const upTo = since === undefined ? undefined : Math.floor(Date.parse(since) / 1000);
      passed(ADMIN, await liftFreshSignIn(deps, call, { account, reason, upTo }));
      return { body: { account, needed: false } };
    },
    createDrill: async (call) => ({ body: passed(ADMIN, await runDrill(call, call.body)) }),
  } satisfies Partial<AdminHandlers>;
}
