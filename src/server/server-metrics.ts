/**
 * Metrics of this process: the configured names, the state of its dependencies, and the expiry of certificates and
 * keys.
 */
import type { Clock } from '../contracts/clock.ts';
import manifest from '../../package.json' with { type: 'json' };
import type { MonitoredAuditTrail } from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { causeField } from '../core/errors.ts';
import { withAvailabilityReports } from '../idp/availability.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import { bucketOf } from '../core/http/address.ts';
import { createTally } from '../core/rate-limit.ts';
import type { UpstreamCluster } from '../proxy/proxy.ts';
import type { Displaced } from '../store/pending.ts';
import type { Store } from '../store/store.ts';
import { createMetrics, type Logger, type Metrics } from '../telemetry/telemetry.ts';

export function serverMetrics({ clusters, providers, workload, access, audit }: Config): Metrics {
  return createMetrics({
    clusters: clusters.map(({ name }) => name),
    // An exchange of a workload's token counts as a sign-in under the name of its rule.
    providers: [...providers, ...workload].map(({ name }) => name),
    roles: access.roles.map(({ name }) => name),
    receivers: access.notify.map(({ name }) => name),
    sinks: audit.sinks.map(({ type }) => type),
    version: manifest.version,
  });
}

/**
 * Wraps the providers. Metrics record whether each responds, and the log why it does not, or why it rejected a
 * user: each reason of each provider once a minute, because in an outage every renewal of every user fails.
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
        const facts = { provider: name, reason: err.reason, ...causeField(err), times, err };
        if (err.code === 'sign_in_refused') logger.info(facts, 'the identity provider rejected a user at a re-check');
        else logger.error(facts, 'the identity provider gave no usable response');
      }),
    ]),
  );
}

/**
 * Reads the providers' metadata. Nothing waits for it: an unavailable provider does not keep a replica from
 * starting.
 */
export function prepare(providers: IdentityProviders, logger: Pick<Logger, 'warn'>): void {
  for (const provider of providers.values()) {
    provider.prepare?.().catch((err: unknown) => {
      logger.warn(
        { provider: provider.name, err },
        'metadata of the identity provider could not be read at the start; sign-ins fail until it can',
      );
    });
  }
}

/**
 * Observes the CA certificates with which API servers are verified. Without a file these are the system's CAs,
 * which we do not monitor.
 */
export function observeCaBundles(metrics: Metrics, clusters: readonly UpstreamCluster[]): void {
  for (const cluster of clusters) {
    if (cluster.ca !== undefined) metrics.observeCertificate('upstream_ca', () => cluster.ca ?? '');
  }
}

/** Observes the number of sessions, and how full the store is. */
export function observeStore(metrics: Metrics, store: Pick<Store, 'sessions' | 'fullness'>): void {
  metrics.observeSessions(() => store.sessions.count());
  metrics.observeStore(async () => {
    const fullness = await store.fullness();
    if (fullness === undefined) throw new Error('the store has no memory limit');
    return fullness;
  });
}

/** Observes the audit log by the type of its sinks. Two files count as one, in the worse state of the two. */
export function observeAuditLog(metrics: Metrics, trail: MonitoredAuditTrail): void {
  metrics.observeAudit(() => {
    const queuedBytes = new Map<string, number>();
    const failing = new Map<string, number>();
    const holdsForSeconds = new Map<string, number>();
    for (const status of trail.status()) {
      queuedBytes.set(status.sink, (queuedBytes.get(status.sink) ?? 0) + status.queuedBytes);
      failing.set(status.sink, Math.max(failing.get(status.sink) ?? 0, Number(status.failing)));
      const { sink, holdsForSeconds: seconds } = status;
      if (seconds !== undefined) holdsForSeconds.set(sink, Math.min(holdsForSeconds.get(sink) ?? Infinity, seconds));
    }
    return { blocked: trail.blocked, queuedBytes, failing, holdsForSeconds };
  });
}

/**
 * Counts sign-ins that are rejected because their address has begun too many, and returns how many are to be
 * audited now.
 */
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
 * Counts login transactions that were displaced by others, and audits them: each kind once a minute, with their
 * number.
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

/** Logs clusters whose rule would have cost too many steps for a user: each once a minute, with the number. */
export function costlyRules(logger: Pick<Logger, 'warn'>, clock: Clock): (cluster: string) => void {
  const tally = createTally(clock);
  return (cluster) => {
    const times = tally.add(cluster);
    if (times !== undefined)
      logger.warn({ cluster, times }, 'clusters[].allow takes too many steps for a user; access was denied');
  };
}
