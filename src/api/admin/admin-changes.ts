/**
 * The handlers of changes: revocations, locks, drills. Each writes its own audit event.
 */
import type { AdminApiService } from '../dependencies.ts';
import type { Request, RequestHandler } from 'express';
import type { z } from 'zod';
import { accountSchema, reasonSchema, requestIdSchema, sessionIdSchema } from '../../core/api/fields.ts';
import { checked } from '../../core/api/issues.ts';
import { drillSchema, liftQuerySchema, lockSchema, revocationSchema } from '../../core/api/requests.ts';
import type { Account } from '../../core/identity/identity.ts';
import { AppError } from '../../core/errors.ts';
import { adminContextOf } from './admin-call.ts';
import {
  type RevocationRequest,
  type RunDrill,
  handleRevocation,
  liftFreshSignIn,
  revocationStatus,
  sessionNotFound,
  unlock,
} from '../../services/admin/admin.ts';

/** @throws AppError `bad_request` */
export function bodyOf<T extends z.ZodType>(req: Request, schema: T): z.output<T> {
  const result = checked(schema, req.body);
  if (result.ok) return result.value;
  const message = req.body === undefined ? 'Send JSON as application/json.' : result.reason;
  throw new AppError('bad_request', message, { reason: 'request_malformed' });
}

function parsed<T extends z.ZodType>(schema: T, value: unknown, name: string): z.output<T> {
  const result = checked(schema, value);
  if (result.ok) return result.value;
  throw new AppError('bad_request', `${name}: ${result.reason}`, { reason: `${name}_malformed` });
}

/**
 * Adds the id that makes two attempts one revocation: `requestId`, or the header `Idempotency-Key`, which may be
 * quoted, because it is a structured field in the IETF's draft.
 */
function withRequestId(req: Request, request: RevocationRequest): RevocationRequest {
  const header = req.get('Idempotency-Key');
  if (header === undefined) return request;
  const key = parsed(requestIdSchema, header.replace(/^"(.*)"$/, '$1'), 'idempotency_key');
  if (request.requestId === undefined || request.requestId === key) return { ...request, requestId: key };
  const message = 'requestId and Idempotency-Key are not the same. Send one of them.';
  throw new AppError('bad_request', message, { reason: 'request_id_twice' });
}

function revocationHandler(service: AdminApiService, requestOf: (req: Request) => RevocationRequest): RequestHandler {
  return async (req, res) => {
    const result = await handleRevocation(service, adminContextOf(req), withRequestId(req, requestOf(req)));
    res.status(revocationStatus(result)).json(result);
  };
}

export const postRevocation = (service: AdminApiService): RequestHandler =>
  revocationHandler(service, (req) => bodyOf(req, revocationSchema));

export const postLock = (service: AdminApiService): RequestHandler =>
  revocationHandler(service, (req) => ({ ...bodyOf(req, lockSchema), lock: true }));

/**
 * Returns the session id of the path.
 * @throws AdminError `session_not_found` also where it has not the form of an id
 */
export function sessionIdOf(req: Request): string {
  const id = sessionIdSchema.safeParse(req.params['id']);
  if (!id.success) throw sessionNotFound();
  return id.data;
}

export const deleteSession = (service: AdminApiService): RequestHandler =>
  revocationHandler(service, (req) => ({
    session: sessionIdOf(req),
    reason: parsed(reasonSchema, req.query['reason'] ?? 'no reason given', 'reason'),
  }));

/**
 * Returns the account of the path.
 * @throws AppError `bad_request`
 */
export const accountOfPath = (req: Request): Account => parsed(accountSchema, req.params['account'], 'account');

export function deleteLock({ deps }: AdminApiService): RequestHandler {
  return async (req, res) => {
    const account = accountOfPath(req);
    const reason = parsed(reasonSchema, req.query['reason'] ?? '', 'reason');
    await unlock(deps, adminContextOf(req), { account, reason });
    res.status(200).json({ account, locked: false });
  };
}

export function deleteFreshSignIn({ deps }: AdminApiService): RequestHandler {
  return async (req, res) => {
    const account = accountOfPath(req);
    const reason = parsed(reasonSchema, req.query['reason'] ?? '', 'reason');
    const { since } = parsed(liftQuerySchema.pick({ since: true }), { since: req.query['since'] }, 'since');
    const upTo = since === undefined ? undefined : Math.floor(Date.parse(since) / 1000);
    await liftFreshSignIn(deps, adminContextOf(req), { account, reason, upTo });
    res.status(200).json({ account, needed: false });
  };
}

export function postDrill(run: RunDrill): RequestHandler {
  return async (req, res) => {
    const result = await run(adminContextOf(req), bodyOf(req, drillSchema));
    res.status(200).json(result);
  };
}
