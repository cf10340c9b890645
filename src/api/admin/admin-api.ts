/**
 * The admin API, version 1. The same resources are served at two prefixes, which differ only in the caller's credential: a
 * browser's cookie, CSRF header and Origin, or a program's certificate-bound Bearer token.
 */
import type { Request, Router } from 'express';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import type { Operation } from '../../core/api/operation.ts';
import { SerialQueue } from '../../core/serial-queue.ts';
import type { CallLimits } from '../../http/call-limits.ts';
import { passed } from '../../http/problem.ts';
import type { Actor } from '../../http/request-context.ts';
import { judgeAdminFreshness, judgeRole, roleOf, type RunDrill } from '../../services/admin/admin.ts';
import type { LiveViews } from '../call.ts';
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import { apiRouter, type Api, type Mount } from '../pipeline.ts';
import { accessHandlers } from './admin-access.ts';
import { tailAudit } from './admin-audit.ts';
import { changeHandlers } from './admin-changes.ts';
import { historyHandlers } from './admin-history.ts';
import type { AdminHandlers } from './handlers.ts';
import { readHandlers } from './admin-reads.ts';
import { liveReplicas, liveRevocation } from './live-views.ts';

/** Each asks every replica, through a channel that bears fifty questions at a time. */
const MOST_CUTS_WAITING = 20;

/**
 * Creates what both prefixes share: a call at one of them counts towards the limits at the other, and so does a
 * live view.
 * @param bounds of the reads and changes of an account
 * @returns a function that creates the router of one prefix
 */
export function createAdminApi(
  service: AdminApiService,
  runDrill: RunDrill,
  { limits, reads }: { readonly limits: CallLimits; readonly reads: SerialQueue },
): (mount: Mount) => Router {
  const { deps } = service;
  const handlers: AdminHandlers = {
    ...readHandlers(service),
    ...changeHandlers(service, runDrill),
    ...accessHandlers(deps),
    ...historyHandlers(deps),
  };
  const live: LiveViews<typeof ADMIN_API> = {
    getRevocation: liveRevocation(service),
    listReplicas: liveReplicas(deps),
    tailAudit: tailAudit(deps),
  };
  const api: Api<typeof ADMIN_API> = {
    description: ADMIN_API,
    deps,
    handlers,
    live,
    limits,
    queues: { 'reads at once': reads, 'cuts at once': new SerialQueue(MOST_CUTS_WAITING) },
    assertMay: (actor, operation) => assertMay(deps, actor, operation),
    assertFresh: (actor) => passed(ADMIN, judgeAdminFreshness(deps, actor)),
    rejectsUnknownQuery: true,
    failures: {
      log: 'admin API request failed',
      notFound: 'There is no such resource in version 1 of the admin API.',
      event: ({ method }: Request) => (method === 'GET' || method === 'HEAD' ? 'admin-read' : 'revocation'),
      refused: 'admin-refused',
    },
  };
  return (mount) => apiRouter(api, mount);
}

/** Rejects a caller whose role does not allow the operation. */
function assertMay({ config }: AdminApiDeps, actor: Actor, operation: Operation | undefined): void {
  if (operation === undefined) return;
  const { need = 'any', holds } = operation;
  if (actor.unread !== undefined) {
    // The token of a former admin may still say that they are one, so such a caller may only have a target held.
    if (holds !== true) throw actor.unread;
    return;
  }
  const hasRole = need === 'any' && roleOf(actor, config) !== undefined;
  if (!hasRole) passed(ADMIN, judgeRole(actor, config, need === 'any' ? 'read' : need));
}
