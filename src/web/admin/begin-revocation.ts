/**
 * Begins a revocation and answers as soon as it is written, so that its receipts are seen as they come in.
 *
 * Threat: an admin in a hurry clicks twice. The second click joins the first one, and is told the same.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { RevocationResult } from '../../revocation/revocation.ts';
import { reusedError } from '../../admin/revocation-results.ts';
import type { RevocationRequest } from '../../admin/revocation-request.ts';
import { handleRevocation, type AdminService } from '../../admin/revoke.ts';
import { type AdminContext } from '../../admin/dependencies.ts';

/** Between two looks at whether it is written. */
const POLL_INTERVAL_MS = 5;

interface Running {
  /** What was asked, by whom: the same id for something else is not the same revocation. */
  readonly asked: string;
  readonly written: Promise<RevocationResult>;
  readonly proven: Promise<RevocationResult>;
}

export interface Begun {
  /** As it stood when it was written. */
  readonly answer: RevocationResult;
  /** As `handleRevocation` answers: proven, or given up waiting for. */
  readonly proven: Promise<RevocationResult>;
}

type Identified = RevocationRequest & { readonly requestId: string };

/** @throws what `handleRevocation` throws, where nothing was written */
export type BeginRevocation = (admin: AdminContext, request: Identified) => Promise<Begun>;

export function createBeginnings(service: AdminService): BeginRevocation {
  const running = new Map<string, Running>();

  function start(admin: AdminContext, request: Identified, asked: string): Running {
    const { requestId } = request;
    // What stands under this id already may be something else: that is judged before anything is told of it.
    const isNew = service.deps.guard.answer(requestId) === undefined;
    const proven = handleRevocation(service, admin, request);
    const written = isNew ? untilWritten(service, requestId, proven) : proven;
    running.set(requestId, { asked, written, proven });
    // Whoever has been told that it is written hears of a later fault in the log only.
    const over = proven.catch((err: unknown) => {
      service.deps.logger.warn({ err, revocation: requestId }, 'a revocation was not carried out to its end');
    });
    void over.finally(() => running.delete(requestId));
    return { asked, written, proven };
  }

  return async (admin, request) => {
    const asked = JSON.stringify([admin.actor.account, request]);
    const before = running.get(request.requestId);
    if (before !== undefined && before.asked !== asked) throw reusedError();
    const { written, proven } = before ?? start(admin, request, asked);
    return { answer: await written, proven };
  };
}

/** @throws where it came to its end before anything was written */
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
    const answer = early ?? deps.guard.answer(id);
    if (answer === undefined) continue;
    // Another replica may be the one that is asked for the receipt.
    if (!answer.complete) await results.keep(answer);
    return answer;
  }
}
