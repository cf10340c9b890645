/** The handlers of changes: revocations, locks, drills. The service audits each. */
import type { z } from 'zod';
import { accountSchema, requestIdSchema, sessionIdSchema } from '../../core/api/fields.ts';
import { checked } from '../../core/api/issues.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { passed, problemFor } from '../../http/problem.ts';
import {
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
import type { AdminHandlers } from './handlers.ts';

function parsed<T extends z.ZodType>(schema: T, value: unknown, name: string): z.output<T> {
  const result = checked(schema, value);
  if (result.ok) return result.value;
  throw new AppError('bad_request', `${name}: ${result.reason}`, { reason: `${name}_malformed` });
}

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

/**
 * Returns the session id of the path.
 * @throws ProblemError `session_not_found` also where it has not the form of an id
 */
export function sessionIdOf({ params }: Call): string {
  const id = sessionIdSchema.safeParse(params['id']);
  if (!id.success) throw problemFor(ADMIN, { reason: 'session_not_found' });
  return id.data;
}

/**
 * Returns the account of the path.
 * @throws AppError `bad_request`
 */
export const accountOfPath = ({ params }: Call): Account => parsed(accountSchema, params['account'], 'account');

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
