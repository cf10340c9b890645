/** What this process tells of itself in the metrics: who is known by name, what it stands on, and how long that lasts. */
import type { Clock } from '../contracts/clock.ts';
import manifest from '../../package.json' with { type: 'json' };
import type { MonitoredAuditTrail } from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { withAvailabilityReports } from '../idp/availability.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import { bucketOf } from '../core/http/address.ts';
import { createTally } from '../core/rate-limit.ts';
import type { UpstreamCluster } from '../proxy/proxy.ts';
import type { Displaced } from '../store/pending.ts';
import type { Store } from '../store/store.ts';
import { createMetrics, type Logger, type Metrics } from '../telemetry/telemetry.ts';

export function serverMetrics({ clusters, providers, workload, audit }: Config): Metrics {
  return createMetrics({
    clusters: clusters.map(({ name }) => name),
    // An exchange of a workload's token is a sign-in too, under the name of its rule.
    providers: [...providers, ...workload].map(({ name }) => name),
    sinks: audit.sinks.map(({ type }) => type),
    version: manifest.version,
  });
}

/**
 * The same providers; the metrics learn whether each answers, and the log why it does not, or why it refused somebody: each reason of each
 * provider once a minute, since in an outage every renewal of everybody meets it.
 */
export function observedProviders(
  providers: IdentityProviders,
  { metrics, logger, clock }: { metrics: Metrics; logger: Pick<Logger, 'error' | 'info'>; clock: Clock },
): IdentityProviders {
  const tally = createTally(clock);
  return new Map(
    [...providers].map(([name, provider]) => [
      name,
      withAvailabilityReports(provider, (answered, err) => {
        metrics.providerAnswered(name, answered);
        const times = err === undefined ? undefined : tally.add(`${name} ${err.reason}`);
        if (err === undefined || times === undefined) return;
        const facts = { provider: name, reason: err.reason, times, err };
        if (answered) logger.info(facts, 'the identity provider refused a user at a re-check');
        else logger.error(facts, 'the identity provider gave no usable answer');
      }),
    ]),
  );
}

/** Reads what the providers publish. Nothing waits for it: one that is unavailable keeps no replica from starting, and counts for nothing yet. */
export function prepare(providers: IdentityProviders, logger: Pick<Logger, 'warn'>): void {
  for (const provider of providers.values()) {
    provider.prepare?.().catch((err: unknown) => {
      logger.warn({ provider: provider.name, err }, 'the identity provider could not be read at the start');
    });
  }
}

/** Whose certificates the API servers are verified by; without a file the system's authorities are, which are not ours to watch. */
export function observeAuthorities(metrics: Metrics, clusters: readonly UpstreamCluster[]): void {
  for (const cluster of clusters) {
    if (cluster.ca !== undefined) metrics.observeCertificate('upstream_ca', () => cluster.ca ?? '');
  }
}

/** How many sessions the store holds, and how full it is. */
export function observeStore(metrics: Metrics, store: Pick<Store, 'sessions' | 'fullness'>): void {
  metrics.observeSessions(() => store.sessions.count());
  metrics.observeStore(async () => {
    const fullness = await store.fullness();
    if (fullness === undefined) throw new Error('the store has no limit of its own');
    return fullness;
  });
}

/** How the record stands, by the type of its sinks: two files are one here, as bad as the worse of them. */
export function observeAuditLog(metrics: Metrics, trail: MonitoredAuditTrail): void {
  metrics.observeAudit(() => {
    const queuedBytes = new Map<string, number>();
    const failing = new Map<string, number>();
    for (const status of trail.status()) {
      queuedBytes.set(status.sink, (queuedBytes.get(status.sink) ?? 0) + status.queuedBytes);
      failing.set(status.sink, Math.max(failing.get(status.sink) ?? 0, Number(status.failing)));
    }
    return { blocked: trail.blocked, queuedBytes, failing };
  });
}

/** Counts sign-ins that are refused because their address has begun too many, and says for each how many are to be audited now. */
export function refusedSignIns(
  metrics: Pick<Metrics, 'signIn' | 'rejection'>,
  clock: Clock,
): (address: string) => number | undefined {
  const tally = createTally(clock);
  return (address) => {
    metrics.signIn('unknown', 'refused');
    metrics.rejection('too_many_sign_ins');
    return tally.add(bucketOf(address));
  };
}

/**
 * Counts sign-ins under way that had to make room for others, and audits them: of each kind once a minute, with how many.
 * @param audit writes the event
 */
export function displacedSignIns(
  metrics: Pick<Metrics, 'signInsDisplaced'>,
  clock: Clock,
  audit: (facts: { readonly artefact: string; readonly count: string }) => void,
): (displaced: Displaced) => void {
  const tally = createTally(clock);
  return ({ kind, count }) => {
    metrics.signInsDisplaced(kind, count);
    const displaced = tally.add(kind, count);
    if (displaced !== undefined) audit({ artefact: kind, count: String(displaced) });
  };
}

/** Logs clusters whose rule would have cost too much for a user: each once a minute, with how often. */
export function costlyRules(logger: Pick<Logger, 'warn'>, clock: Clock): (cluster: string) => void {
  const tally = createTally(clock);
  return (cluster) => {
    const times = tally.add(cluster);
    if (times !== undefined)
      logger.warn({ cluster, times }, 'clusters[].allow takes too many steps for a user, who is refused');
  };
}
