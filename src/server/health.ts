/**
 * The health of clusters and identity providers, as the admin pages and the admin API show it: how it is probed,
 * how often, and how long results are cached.
 */
import type { Clock } from '../contracts/clock.ts';
import type { ComponentHealth, Health } from '../contracts/health.ts';

/** Several admins who open the page at the same time cause one request to a component. */
const CACHE_MS = 10_000;

/** Probes once. Returns undefined if it is well; otherwise the failure, as text for an admin. */
export type HealthProbe = () => Promise<string | undefined>;

export type ComponentKind = 'cluster' | 'provider';

export interface HealthOptions {
  /** By name, in the order in which they are shown. */
  readonly clusters: ReadonlyMap<string, HealthProbe>;
  readonly providers: ReadonlyMap<string, HealthProbe>;
  /** Milliseconds since the epoch. */
  readonly clock: Clock;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonicMs: () => number;
  /** Called after each probe. */
  readonly onProbed?: (kind: ComponentKind, name: string, up: boolean) => void;
}

/** Probes only when an admin asks. */
export function createHealth(options: HealthOptions): Health {
  return {
    clusters: cached(options, () => probeAll(options, 'cluster', options.clusters)),
    providers: cached(options, () => probeAll(options, 'provider', options.providers)),
  };
}

type Results = readonly ComponentHealth[];

/** @returns the last results for ten seconds; callers that arrive meanwhile share the same probe */
function cached({ monotonicMs }: HealthOptions, probe: () => Promise<Results>): () => Promise<Results> {
  let held: { readonly results: Promise<Results>; until: number } | undefined;
  return () => {
    if (held !== undefined && monotonicMs() < held.until) return held.results;
    const results = probe();
    const entry = { results, until: Infinity };
    held = entry;
    // It never rejects.
    void results.then(() => (entry.until = monotonicMs() + CACHE_MS));
    return results;
  };
}

const probeAll = (
  options: HealthOptions,
  kind: ComponentKind,
  probes: ReadonlyMap<string, HealthProbe>,
): Promise<Results> => Promise.all([...probes].map(([name, probe]) => probeOnce(options, kind, { name, probe })));

async function probeOnce(
  { clock, monotonicMs, onProbed }: HealthOptions,
  kind: ComponentKind,
  { name, probe }: { readonly name: string; readonly probe: HealthProbe },
): Promise<ComponentHealth> {
  const begunAt = monotonicMs();
  const problem = await probe().catch(() => 'It could not be checked.');
  const ms = Math.round(monotonicMs() - begunAt);
  const checkedAt = Math.floor(clock.nowMs() / 1000);
  onProbed?.(kind, name, problem === undefined);
  return problem === undefined ? { name, state: 'up', checkedAt, ms } : { name, state: 'down', checkedAt, problem };
}
