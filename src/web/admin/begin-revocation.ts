/**
 * Starts a revocation and returns as soon as it is written, so that the admin sees the receipts as they come in.
 * The second click of an admin who clicks twice joins the first one and has the same result.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN } from '../../core/api/rejections.ts';
import { passed, problemFor } from '../../http/problem.ts';
import type { RevocationResult } from '../../revocation/revocation.ts';
import {
  type AdminContext,
  type AdminService,
  type RevocationReceipt,
  type RevocationRequest,
  handleRevocation,
} from '../../services/admin/admin.ts';

/** How often to check whether the revocation is written. */
const POLL_INTERVAL_MS = 5;

interface Running {
  /** The request and its admin: the same id with another request is not the same revocation. */
  readonly key: string;
  readonly written: Promise<RevocationResult>;
  readonly proven: Promise<RevocationReceipt>;
}

export interface StartedRevocation {
  /** The result at the time when the revocation was written. */
  readonly result: RevocationResult;
  /** The result of `handleRevocation`: proven, or not proven in time. Rejects with what that has rejected. */
  readonly proven: Promise<RevocationReceipt>;
}

type Identified = RevocationRequest & { readonly requestId: string };

/** Starts a revocation. @throws what `handleRevocation` rejects or throws, where nothing was written */
export type StartRevocation = (admin: AdminContext, request: Identified) => Promise<StartedRevocation>;

export function createRevocationStarter(service: AdminService): StartRevocation {
  const running = new Map<string, Running>();

  function start(admin: AdminContext, request: Identified, key: string): Running {
    const { requestId } = request;
    // A result under this id may belong to another request. `handleRevocation` checks that before anything is returned.
    const isNew = service.deps.guard.result(requestId) === undefined;
    const proven = handleRevocation(service, admin, request, { asks: true }).then((result) => passed(ADMIN, result));
    const written = isNew ? untilWritten(service, requestId, proven) : proven;
    running.set(requestId, { key, written, proven });
    // The admin already has the response that it is written, so a later failure can only be logged. Any other is theirs.
    const over = proven.catch((err: unknown) => {
      if (service.deps.guard.result(requestId) === undefined) return;
      service.deps.logger.warn(
        { err, revocation: requestId },
        'revocation failed after it was started; check its receipt, and revoke again',
      );
    });
    void over.finally(() => running.delete(requestId));
    return { key, written, proven };
  }

  return async (admin, request) => {
    const key = JSON.stringify([admin.actor.account, request]);
    const before = running.get(request.requestId);
    if (before !== undefined && before.key !== key) throw problemFor(ADMIN, { reason: 'request_id_reused' });
    const { written, proven } = before ?? start(admin, request, key);
    return { result: await written, proven };
  };
}

/**
 * Waits until the revocation is written, and returns its result at that time.
 * @throws the revocation's error, where it failed before anything was written
 */
async function untilWritten(
  { deps, results }: AdminService,
  id: string,
  proven: Promise<RevocationResult>,
): Promise<RevocationResult> {
  const over = new AbortController();
  const ended = proven.finally(() => over.abort());
  for (;;) {
    const early = await Promise.race([
      ended,
      delay(POLL_INTERVAL_MS, undefined, { signal: over.signal }).catch(() => undefined),
    ]);
    if (over.signal.aborted) return ended;
    const result = early ?? deps.guard.result(id);
    if (result === undefined) continue;
    // The request for the receipt may go to another replica, so the result must be in the store.
    if (!result.complete) await results.keep(result);
    return result;
  }
}
