/**
 * The audit events of a grant's begin. The grant begins in the store, so its response may be lost, or the process dies: then
 * there is a right that the audit log does not have. So it is noted in the store that the events are written, and anyone who
 * finds a grant without that note writes them: at worst twice, never not at all.
 */
import type { AccessRequest } from '../../core/access/request.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { auditBegun, auditFoundApproval, auditFoundRequest, NO_REQUEST } from './audit-events.ts';
import type { AccessDeps } from './dependencies.ts';

/** Audits a grant that this replica has begun. Resolves when that is noted; never rejects. */
export async function auditGrantBegin(
  deps: AccessDeps,
  request: AccessRequest,
  { context, path }: { readonly context: RequestContext; readonly path: string },
): Promise<void> {
  auditBegun(deps, context, path, request);
  await note(deps, request);
}

/** Audits a grant of which no one has noted that it was audited, with what led to it; else does nothing. Never rejects. */
export async function auditIfFound(deps: AccessDeps, request: AccessRequest): Promise<void> {
  if (request.grant === undefined || request.grant.audited === true) return;
  const last = request.decisions.at(-1);
  if (last === undefined) auditFoundRequest(deps, request);
  else auditFoundApproval(deps, request, last);
  const by = last?.username ?? request.username;
  deps.notify?.({ kind: request.terms.approval === 'none' ? 'break-glass' : 'granted', request, by });
  await auditGrantBegin(deps, request, { context: NO_REQUEST(), path: '' });
}

async function note({ store, logger }: AccessDeps, { id }: AccessRequest): Promise<void> {
  await store.access.note(id, { audited: true }).catch((err: unknown) => {
    logger.warn({ err, grant: id }, 'the begin of a grant is audited, and may be once more');
  });
}
