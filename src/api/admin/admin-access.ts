/** The handlers of access requests. The service audits what it does and what it rejects. */
import type { AdminApiDeps } from '../dependencies.ts';
import type { Request, RequestHandler } from 'express';
import { accessDecisionSchema, accessHistoryQuerySchema, accessRequestIdSchema } from '../../core/api/access.ts';
import { endQuerySchema } from '../../core/api/requests.ts';
import type { AccessRequest } from '../../core/access/request.ts';
import { ProblemError } from '../../http/problem.ts';
import { type AccessRequestView, type AccessRequests, accessRequestView } from '../../services/access/access.ts';
import { AdminError, type AdminProblem, parseQuery, revocationStatus } from '../../services/admin/admin.ts';
import { adminContextOf, type ReadResult } from './admin-call.ts';
import { bodyOf } from './admin-changes.ts';

const notFound = (): AdminError =>
  new AdminError('access_request_not_found', 'not_found', 'There is no access request of this id.');

/** @throws AdminError `access_request_not_found` where nothing can be asked for at this server */
function serviceOf({ access }: AdminApiDeps): AccessRequests {
  if (access === undefined) throw notFound();
  return access;
}

/** Of the path. One that has not the form of an id is as unknown as any other. */
function idOf(req: Request): string {
  const id = accessRequestIdSchema.safeParse(req.params['id']);
  if (!id.success) throw notFound();
  return id.data;
}

/** The codes of this API, which has fewer than the API for access requests: `reason` has that one's. */
const PROBLEMS: Readonly<Record<number, AdminProblem>> = {
  403: 'access_not_allowed',
  404: 'access_request_not_found',
  409: 'access_conflict',
  502: 'provider_unavailable',
};

/** Runs a method of the service, and gives its rejections the codes of this API. */
async function withCodes<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    const problem = thrown instanceof ProblemError ? PROBLEMS[thrown.status] : undefined;
    const isOfApi = !(thrown instanceof ProblemError) || thrown.problem === 'freshness_unprovable';
    if (problem === undefined || isOfApi) throw thrown;
    const { code, message, problem: reason, audited } = thrown;
    throw new AdminError(problem, code, message, { cause: thrown, reason, audited, members: { reason } });
  }
}

function viewOf({ config, clock, access }: AdminApiDeps, req: Request, request: AccessRequest): AccessRequestView {
  const may = access?.may(adminContextOf(req), request) ?? [];
  return accessRequestView(request, { publicUrl: config.publicUrl, nowMs: clock.nowMs(), may });
}

export async function accessHistory(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const query = parseQuery(accessHistoryQuerySchema, { ...req.query });
  const { requests, cursor } = await withCodes(() => serviceOf(deps).history(adminContextOf(req), query));
  const body = {
    requests: requests.map((request) => viewOf(deps, req, request)),
    ...(cursor === undefined ? {} : { cursor }),
  };
  const { cursor: _cursor, limit: _limit, ...filter } = req.query;
  const details = Object.keys(filter).length === 0 ? {} : { filter: JSON.stringify(filter) };
  return { body, reason: 'access_requests', details };
}

export async function oneAccessRequest(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const request = await withCodes(() => serviceOf(deps).find(adminContextOf(req), idOf(req)));
  return { body: viewOf(deps, req, request), reason: 'access_request', details: { 'grant-id': request.id } };
}

export function decideAccess(deps: AdminApiDeps, verb: 'approve' | 'deny'): RequestHandler {
  return async (req, res) => {
    const { reason } = bodyOf(req, accessDecisionSchema);
    const request = await withCodes(() => serviceOf(deps)[verb](adminContextOf(req), idOf(req), reason));
    res.status(200).json(viewOf(deps, req, request));
  };
}

export function endAccess(deps: AdminApiDeps): RequestHandler {
  return async (req, res) => {
    const { reason } = parseQuery(endQuerySchema, { ...req.query });
    const { result } = await withCodes(() => serviceOf(deps).end(adminContextOf(req), idOf(req), reason));
    if (result === undefined) res.status(200).json({ withdrawn: true });
    else res.status(revocationStatus(result)).json(result);
  };
}
