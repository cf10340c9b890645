/** The health of clusters and identity providers, as the admin pages and the admin API show it: who looks, how often, and what is kept. */
import type { Clock } from '../contracts/clock.ts';
import type { ComponentHealth, Health } from '../contracts/health.ts';

/** Admins who look at the page together cost a component one request. */
const STANDS_MS = 10_000;

/** Looks once. Undefined: it is well; else what is wrong, in words for an admin. */
export type Look = () => Promise<string | undefined>;

export type ComponentKind = 'cluster' | 'provider';

export interface HealthOptions {
  /** By name, in the order in which they are shown. */
  readonly clusters: ReadonlyMap<string, Look>;
  readonly providers: ReadonlyMap<string, Look>;
  /** Milliseconds since the epoch. */
  readonly clock: Clock;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic: () => number;
  /** Told after each look. */
  readonly looked?: (kind: ComponentKind, name: string, up: boolean) => void;
}

/** Nothing is asked before somebody wants to know. */
export function createHealth(options: HealthOptions): Health {
  return {
    clusters: standing(options, () => lookAt(options, 'cluster', options.clusters)),
    providers: standing(options, () => lookAt(options, 'provider', options.providers)),
  };
}

type Found = readonly ComponentHealth[];

/** @returns what was found last, for ten seconds from when it was; whoever asks meanwhile waits for the same look */
function standing({ monotonic }: HealthOptions, look: () => Promise<Found>): () => Promise<Found> {
  let held: { readonly found: Promise<Found>; until: number } | undefined;
  return () => {
    if (held !== undefined && monotonic() < held.until) return held.found;
    const found = look();
    const entry = { found, until: Infinity };
    held = entry;
    // It never rejects.
    void found.then(() => (entry.until = monotonic() + STANDS_MS));
    return found;
  };
}

const lookAt = (options: HealthOptions, kind: ComponentKind, looks: ReadonlyMap<string, Look>): Promise<Found> =>
  Promise.all([...looks].map(([name, look]) => oneLook(options, kind, { name, look })));

async function oneLook(
  { clock, monotonic, looked }: HealthOptions,
  kind: ComponentKind,
  { name, look }: { readonly name: string; readonly look: Look },
): Promise<ComponentHealth> {
  const begunAt = monotonic();
  const problem = await look().catch(() => 'It could not be looked at.');
  const ms = Math.round(monotonic() - begunAt);
  const checkedAt = Math.floor(clock.now() / 1000);
  looked?.(kind, name, problem === undefined);
  return problem === undefined ? { name, state: 'up', checkedAt, ms } : { name, state: 'down', checkedAt, problem };
}
