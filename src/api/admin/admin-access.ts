/** The handlers of access requests. The service audits what it does and what it rejects. */
import { accessRequestIdSchema } from '../../core/api/access.ts';
import { ACCESS_PROBLEMS } from '../../core/api/access-problems.ts';
import { ACCESS, ADMIN, rejectionText, type AccessRejection } from '../../core/api/rejections.ts';
import type { Result } from '../../core/result.ts';
import { problemFor, type ProblemError } from '../../http/problem.ts';
import { accessRequestView, type AccessRequests } from '../../services/access/access.ts';
import { revocationStatus } from '../../services/admin/admin.ts';
import type { Call } from '../call.ts';
import type { AdminApiDeps } from '../dependencies.ts';
import { filterDetails, type AdminHandlers } from './handlers.ts';
import { defined } from '../../core/defined.ts';

const notFound = (): ProblemError => problemFor(ADMIN, { reason: 'access_request_not_found' });

/** @throws ProblemError `access_request_not_found` where nothing can be asked for at this server */
function serviceOf({ access }: AdminApiDeps): AccessRequests {
  if (access === undefined) throw notFound();
  return access;
}

/** Of the path. One that has not the form of an id is as unknown as any other. */
function idOf({ params }: Call): string {
  const id = accessRequestIdSchema.safeParse(params['id']);
  if (!id.success) throw notFound();
  return id.data;
}

/** The codes of this API, which has fewer than the API for access requests: `reason` has that one's. */
const PROBLEMS: Readonly<Record<number, 'access_request_not_found' | 'access_conflict'>> = {
  404: 'access_request_not_found',
  409: 'access_conflict',
};

/** Returns what the service has done. What it rejects has the codes of this API. */
function withCodes<T>(result: Result<T, AccessRejection>): T {
  if (result.ok) return result.value;
  const { reason: rejection } = result;
  const { reason, audited } = rejection;
  const problem = PROBLEMS[ACCESS_PROBLEMS[reason].status];
  if (problem === undefined) throw problemFor(ACCESS, rejection);
  const message = rejectionText(ACCESS.texts, rejection);
  const facts = { message, precisely: reason, members: { reason }, ...defined({ audited }) };
  throw problemFor(ADMIN, { reason: problem, ...facts });
}

export function accessHandlers(deps: AdminApiDeps) {
  return {
    async listAccessRequests(call) {
      const service = serviceOf(deps);
      const { requests, cursor } = withCodes(await service.history(call, call.query));
      const { publicUrl } = deps.config;
      const nowMs = deps.clock.nowMs();
      return {
        body: {
          requests: requests.map((request) =>
            accessRequestView(request, { publicUrl, nowMs, may: service.may(call, request) }),
          ),
          ...defined({ cursor }),
        },
        read: { reason: 'access_requests', details: filterDetails(call) },
      };
    },
    async endAccessRequest(call) {
      const { result } = withCodes(await serviceOf(deps).end(call, idOf(call), call.query.reason));
      if (result === undefined) return { body: { withdrawn: true as const } };
      return { status: revocationStatus(result), body: result };
    },
  } satisfies Partial<AdminHandlers>;
}
