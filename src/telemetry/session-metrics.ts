/** Metrics of sign-ins, sessions and identity providers. */
import { counter, gauge, observed, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import { LOGOUT_REFUSED, type Metrics } from './types.ts';

const ANSWERS = ['answered', 'unavailable'] as const;
const DELEGATION_OUTCOMES = ['opened', 'refused', 'unavailable'] as const;
const OUTCOMES = ['ok', 'refused', 'unavailable'] as const;
/** The kinds of artefacts that have a budget in the store. */
const DISPLACED_KINDS = ['Interaction', 'SignIn', 'DeviceCode', 'DeviceConfirmation'] as const;

type SessionMetrics = Pick<
  Metrics,
  | 'signIn'
  | 'signInsDisplaced'
  | 'providerAnswered'
  | 'logoutRefused'
  | 'refresh'
  | 'delegation'
  | 'sessionAddressesExceeded'
  | 'observeSessions'
  | 'observeStore'
>;

export function sessionMetrics(registry: MetricsRegistry, providers: readonly string[] | undefined): SessionMetrics {
  const provider = boundedLabel(providers && [...providers, 'unknown']);
  const refreshes = counter(registry, 'refreshes_total', 'Uses of a refresh token.', ['outcome']);
  for (const outcome of OUTCOMES) refreshes.inc({ outcome }, 0);
  const refreshOutcome = boundedLabel();
  const delegations = counter(registry, 'delegations_total', 'Requests for a delegated session.', ['outcome']);
  for (const outcome of DELEGATION_OUTCOMES) delegations.inc({ outcome }, 0);
  const delegationOutcome = boundedLabel(DELEGATION_OUTCOMES);
  const exceeded = counter(
    registry,
    'session_addresses_exceeded_total',
    "Sessions used from more networks within an hour than one user's devices explain.",
    [],
  );
  const displaced = counter(
    registry,
    'sign_ins_displaced_total',
    'Login transactions that were dropped, because login transactions have used up their part of the store. `kind` is the artefact: `Interaction` and `SignIn` in a browser, `DeviceCode` and `DeviceConfirmation` by a code.',
    ['kind'],
  );
  for (const kind of DISPLACED_KINDS) displaced.inc({ kind }, 0);
  const displacedKind = boundedLabel(DISPLACED_KINDS);
  return {
    ...signInMetrics(registry, provider, providers),
    ...logoutMetrics(registry, provider, providers),
    signInsDisplaced: (kind, count) => displaced.inc({ kind: displacedKind(kind) }, count),
    refresh: (outcome) => refreshes.inc({ outcome: refreshOutcome(outcome) }),
    delegation: (outcome) => delegations.inc({ outcome: delegationOutcome(outcome) }),
    sessionAddressesExceeded: () => exceeded.inc(),
    observeSessions(read) {
      observed(registry, 'sessions_active', 'Sessions that have not ended.', read);
    },
    observeStore(read) {
      const help = 'Used part of the memory that Redis may use (`maxmemory`), from 0 to 1; absent if it has no limit.';
      observed(registry, 'store_memory_ratio', help, read);
    },
  };
}

function logoutMetrics(
  registry: MetricsRegistry,
  provider: (name: string) => string,
  providers: readonly string[] = [],
): Pick<SessionMetrics, 'logoutRefused'> {
  const help =
    'Logouts at a provider (OpenID Connect Back-Channel Logout) that were rejected or failed. `logout_token_issued_at` and `logout_token_expired` count tokens that the provider has signed, `not_carried_out` counts valid ones; anyone can cause the others.';
  const refused = counter(registry, 'logouts_refused_total', help, ['provider', 'reason']);
  // From 0, so that the first one is an increase.
  for (const name of providers) for (const reason of LOGOUT_REFUSED) refused.inc({ provider: name, reason }, 0);
  return { logoutRefused: (name, reason) => refused.inc({ provider: provider(name), reason }) };
}

function signInMetrics(
  registry: MetricsRegistry,
  provider: (name: string) => string,
  providers: readonly string[] = [],
): Pick<SessionMetrics, 'signIn' | 'providerAnswered'> {
  const signIns = counter(registry, 'sign_ins_total', 'Sign-ins, and exchanges of workloads, that have ended.', [
    'provider',
    'outcome',
  ]);
  for (const name of providers) for (const outcome of OUTCOMES) signIns.inc({ provider: name, outcome }, 0);
  const outcomeLabel = boundedLabel();
  const help = '1 if the provider responded to the last request, 0 if it did not; absent before the first request.';
  const reachable = gauge(registry, 'provider_reachable', help, ['provider']);
  const asked = counter(registry, 'provider_requests_total', 'Requests to a provider, and whether it responded.', [
    'provider',
    'outcome',
  ]);
  for (const name of providers) for (const outcome of ANSWERS) asked.inc({ provider: name, outcome }, 0);
  return {
    signIn: (name, outcome) => signIns.inc({ provider: provider(name), outcome: outcomeLabel(outcome) }),
    providerAnswered(name, answered) {
      reachable.set({ provider: provider(name) }, answered ? 1 : 0);
      asked.inc({ provider: provider(name), outcome: answered ? 'answered' : 'unavailable' });
    },
  };
}
