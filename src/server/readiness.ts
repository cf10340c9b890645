/** Whether this replica is ready to serve: the checks, and how long a failure is tolerated before readiness fails. */
import type { AuditTrail } from '../audit/audit.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { Store } from '../store/store.ts';
import type { ServerKeys } from './keys.ts';
import { createHealth, type Health, type HealthCheck } from '../telemetry/telemetry.ts';

/**
 * A store that hesitates fences every replica immediately. Their 503 asks clients to try again; if all endpoints
 * disappeared, clients would have nothing to try again (docs/architecture.md#invariant-13).
 */
const TOLERANCE_MS = 5_000;

const NO_LEASE = 'no fresh lease: this replica rejects all requests';

export interface ReadinessDeps {
  readonly store: Pick<Store, 'ping' | 'log'>;
  readonly guard: Pick<RevocationGuard, 'fenced' | 'clockOff' | 'stalenessSeconds'>;
  readonly audit: Pick<AuditTrail, 'blocked'>;
  readonly keys: Pick<ServerKeys, 'ahead'>;
  /** Milliseconds of a clock that is never set back. */
  readonly monotonicMs: () => number;
}

/** @returns the checks of `/readyz`, by name: store, lease, clock, epoch, audit, keys */
export function createReadiness({ store, guard, audit, keys, monotonicMs }: ReadinessDeps): Health {
  const health = createHealth();
  const tolerantly = (check: HealthCheck): HealthCheck => withTolerance(check, monotonicMs);
  health.add(
    'store',
    tolerantly(() =>
      store.ping().then(
        () => undefined,
        () => 'the store does not respond',
      ),
    ),
  );
  const lease = tolerantly(() => (guard.fenced ? NO_LEASE : undefined));
  health.add('lease', () => (guard.stalenessSeconds === Number.POSITIVE_INFINITY ? NO_LEASE : lease()));
  health.add(
    'clock',
    tolerantly(() =>
      guard.clockOff ? "this machine's clock differs from the store's by more than a minute" : undefined,
    ),
  );
  health.add('epoch', onceSettled(store));
  health.add('audit', () => (audit.blocked ? 'the audit log cannot be written' : undefined));
  // A replica with an older copy of the keys would reject what the others have signed, and take the sessions that they
  // have sealed for ended.
  health.add('keys', () => {
    const ahead = keys.ahead();
    return ahead.length === 0 ? undefined : `a key that ${ahead.join(', ')} signs or seals with cannot be read here`;
  });
  return health;
}

function withTolerance(check: HealthCheck, monotonicMs: () => number): HealthCheck {
  let failingSince: number | undefined;
  return async () => {
    const problem = await check();
    if (problem === undefined) {
      failingSince = undefined;
      return undefined;
    }
    failingSince ??= monotonicMs();
    return monotonicMs() - failingSince >= TOLERANCE_MS ? problem : undefined;
  };
}

/**
 * Only at the start: when the store begins a later epoch, taking a replica out of its Service for two seconds
 * would not help.
 */
function onceSettled({ log }: Pick<Store, 'log'>): HealthCheck {
  let settled = false;
  return () => {
    settled ||= log.settled;
    return settled ? undefined : 'the store has just begun a new epoch: no user can sign in for a moment';
  };
}
