/** The handlers of access requests. The service audits what it does and what it rejects. */
import { accessRequestIdSchema } from '../../core/api/access.ts';
import { ProblemError } from '../../http/problem.ts';
import { accessRequestView, type AccessRequests } from '../../services/access/access.ts';
import { AdminError, revocationStatus } from '../../services/admin/admin.ts';
import type { Call } from '../call.ts';
import type { AdminApiDeps } from '../dependencies.ts';
import type { AdminHandlers } from './handlers.ts';
import { filterDetails } from './admin-reads.ts';
import { defined } from '../../core/defined.ts';

const notFound = (): AdminError => new AdminError({ reason: 'access_request_not_found' });

/** @throws AdminError `access_request_not_found` where nothing can be asked for at this server */
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

/** Runs a method of the service, and gives its rejections the codes of this API. */
async function withCodes<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    const problem = thrown instanceof ProblemError ? PROBLEMS[thrown.status] : undefined;
    if (problem === undefined || !(thrown instanceof ProblemError)) throw thrown;
    const { message, problem: reason, audited } = thrown;
    throw new AdminError({ reason: problem, message }, { cause: thrown, reason, audited, members: { reason } });
  }
}

export function accessHandlers(deps: AdminApiDeps) {
  return {
    async listAccessRequests(call) {
      const service = serviceOf(deps);
      const { requests, cursor } = await withCodes(() => service.history(call, call.query));
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
      const { result } = await withCodes(() => serviceOf(deps).end(call, idOf(call), call.query.reason));
      if (result === undefined) return { body: { withdrawn: true as const } };
      return { status: revocationStatus(result), body: result };
    },
  } satisfies Partial<AdminHandlers>;
}
