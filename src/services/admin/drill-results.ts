/**
 * The replicas' parts in a drill, as this replica reads them from their lease renewals.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DrillPart } from '../../store/store.ts';
import type { AdminDeps } from './dependencies.ts';

/** How long all replicas may take to open their watches, and again to report them cut. */
const TIMEOUT_MS = 5_000;
/** Each poll renews this replica's lease, so there is a pause between two of them. */
const POLL_INTERVAL_MS = 20;

/** By incarnation; undefined for a replica that has no part in this drill yet, or has left. */
export type Parts = ReadonlyMap<string, DrillPart | undefined>;

/** Returns the parts of those replicas in this drill; undefined for a replica that has none yet. */
function partsOf(deps: AdminDeps, id: string, incarnations: readonly string[]): Parts {
  const known = new Map(deps.guard.replicas.map((replica) => [replica.incarnation, replica.drill]));
  return new Map(
    incarnations.map((incarnation) => {
      const part = known.get(incarnation);
      return [incarnation, part?.id === id ? part : undefined];
    }),
  );
}

/** Polls the parts until each of them is `settled`, or until the timeout. Calls `seen` at each poll. */
export async function pollParts(
  deps: AdminDeps,
  poll: {
    readonly id: string;
    readonly incarnations: readonly string[];
    readonly settled: (part: DrillPart | undefined) => boolean;
    readonly seen?: (parts: Parts) => void;
  },
): Promise<Parts> {
  const untilMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    await deps.guard.refresh();
    const parts = partsOf(deps, poll.id, poll.incarnations);
    poll.seen?.(parts);
    if ([...parts.values()].every(poll.settled) || performance.now() >= untilMs) return parts;
    await delay(POLL_INTERVAL_MS);
  }
}

/** Returns the result of one replica, from its part when the watches were open and its part at the end. */
export function outcomeOf(
  opened: DrillPart | undefined,
  ended: DrillPart | undefined,
): { readonly opened: boolean; readonly cut: boolean; readonly reason?: string } {
  const wasOpen = opened !== undefined && opened.state !== 'failed';
  const wasCut = wasOpen && ended?.state === 'cut';
  if (wasCut) return { opened: true, cut: true };
  const failed = [ended, opened].find((part) => part?.state === 'failed');
  const timedOut = wasOpen ? 'its watch was not reported cut in time' : 'its watch did not open in time';
  return { opened: wasOpen, cut: false, reason: failed?.reason ?? timedOut };
}
