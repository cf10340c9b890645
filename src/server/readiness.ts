/** Whether this replica is ready to serve: what is asked, and how long a fault is borne before readiness falls. */
import type { AuditTrail } from '../audit/audit.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { Store } from '../store/store.ts';
import { createHealth, type Health, type HealthCheck } from '../telemetry/telemetry.ts';

/**
 * A store that hesitates fences every replica at once. Their 503 asks clients to try again; endpoints that all disappear leave them nothing
 * to try (docs/architecture.md#invariant-13).
 */
const PATIENCE_MS = 5_000;

const NO_LEASE = 'no fresh lease: this replica refuses everything';

export interface ReadinessDeps {
  readonly store: Pick<Store, 'ping' | 'log'>;
  readonly guard: Pick<RevocationGuard, 'fenced' | 'clockOff' | 'stalenessSeconds'>;
  readonly audit: Pick<AuditTrail, 'blocked'>;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic: () => number;
}

/** @returns the checks of `/readyz`, by name: store, lease, clock, epoch, audit */
export function createReadiness({ store, guard, audit, monotonic }: ReadinessDeps): Health {
  const health = createHealth();
  const patiently = (check: HealthCheck): HealthCheck => afterPatience(check, monotonic);
  health.add(
    'store',
    patiently(() =>
      store.ping().then(
        () => undefined,
        () => 'the store does not answer',
      ),
    ),
  );
  const lease = patiently(() => (guard.fenced ? NO_LEASE : undefined));
  health.add('lease', () => (guard.stalenessSeconds === Number.POSITIVE_INFINITY ? NO_LEASE : lease()));
  health.add(
    'clock',
    patiently(() => (guard.clockOff ? "this machine's clock is off the store's by more than a minute" : undefined)),
  );
  health.add('epoch', onceSettled(store));
  health.add('audit', () => (audit.blocked ? 'the audit record cannot be written' : undefined));
  return health;
}

function afterPatience(check: HealthCheck, monotonic: () => number): HealthCheck {
  let failingSince: number | undefined;
  return async () => {
    const problem = await check();
    if (problem === undefined) {
      failingSince = undefined;
      return undefined;
    }
    failingSince ??= monotonic();
    return monotonic() - failingSince >= PATIENCE_MS ? problem : undefined;
  };
}

/** At the start only: when a later life of the store begins, a replica that is taken out of its Service for two seconds helps nobody. */
function onceSettled({ log }: Pick<Store, 'log'>): HealthCheck {
  let settled = false;
  return () => {
    settled ||= log.settled;
    return settled ? undefined : 'the store has just begun anew: for a moment nobody can sign in';
  };
}
