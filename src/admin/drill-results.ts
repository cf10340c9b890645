/**
 * The replicas' parts in a drill, as their renewals bring them to this one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { DrillPart } from '../store/store.ts';
import type { AdminDeps } from './dependencies.ts';

/** For all replicas to open their watches, and again for all to report them cut. */
const PATIENCE_MS = 5_000;
/** Each look is a renewal, so they are not made one right behind the other. */
const LOOK_EVERY_MS = 20;

/** By incarnation; undefined for a replica that has no part in this drill yet, or has left. */
export type Parts = ReadonlyMap<string, DrillPart | undefined>;

/** The parts of those replicas in this drill; undefined for one that has none yet. */
function partsOf(deps: AdminDeps, id: string, incarnations: readonly string[]): Parts {
  const known = new Map(deps.guard.replicas.map((replica) => [replica.incarnation, replica.drill]));
  return new Map(
    incarnations.map((incarnation) => {
      const part = known.get(incarnation);
      return [incarnation, part?.id === id ? part : undefined];
    }),
  );
}

/** Looks until `settled` says so of every part, or the patience is over. `seen` is called at each look. */
export async function watchParts(
  deps: AdminDeps,
  look: {
    readonly id: string;
    readonly incarnations: readonly string[];
    readonly settled: (part: DrillPart | undefined) => boolean;
    readonly seen?: (parts: Parts) => void;
  },
): Promise<Parts> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    await deps.guard.refresh();
    const parts = partsOf(deps, look.id, look.incarnations);
    look.seen?.(parts);
    if ([...parts.values()].every(look.settled) || performance.now() >= until) return parts;
    await delay(LOOK_EVERY_MS);
  }
}

/** How it went at one replica, by its part when the watches were open and its part at the end. */
export function outcomeOf(
  opened: DrillPart | undefined,
  ended: DrillPart | undefined,
): { readonly opened: boolean; readonly cut: boolean; readonly reason?: string } {
  const wasOpen = opened !== undefined && opened.state !== 'failed';
  const wasCut = wasOpen && ended?.state === 'cut';
  if (wasCut) return { opened: true, cut: true };
  const failed = [ended, opened].find((part) => part?.state === 'failed');
  const words = wasOpen ? 'its watch was not reported cut in time' : 'its watch did not open in time';
  return { opened: wasOpen, cut: false, reason: failed?.reason ?? words };
}
