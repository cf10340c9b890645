/** Metrics of access requests, their grants and notices, and of step-up. No label has a user, and none has a reason. */
import { counter, gauge, type MetricsRegistry } from './instruments.ts';
import { boundedLabel } from './labels.ts';
import {
  ACCESS_OUTCOMES,
  GRANT_EVENTS,
  NOTICE_OUTCOMES,
  STEP_UP_OUTCOMES,
  type KnownNames,
  type Metrics,
} from './types.ts';

type AccessMetrics = Pick<
  Metrics,
  | 'accessRequest'
  | 'accessGrant'
  | 'accessGrantsActive'
  | 'accessBreakGlass'
  | 'roleUsage'
  | 'accessNotice'
  | 'stepUp'
  | 'stepUpNeeded'
>;

export function accessMetrics(registry: MetricsRegistry, known: KnownNames): AccessMetrics {
  return { ...grantMetrics(registry, known), ...noticeMetrics(registry, known), ...stepUpMetrics(registry, known) };
}

function grantMetrics(
  registry: MetricsRegistry,
  { roles = [] }: KnownNames,
): Omit<AccessMetrics, 'accessNotice' | 'stepUp' | 'stepUpNeeded'> {
  const role = boundedLabel(roles);
  const requests = counter(
    registry,
    'access_requests_total',
    'Access requests, and what became of them. `outcome`: `requested`, `approved` (each approval), `denied`, `withdrawn`, `expired`, `refused` (not stored, or a decision that was rejected).',
    ['role', 'outcome'],
  );
  const grants = counter(
    registry,
    'access_grants_total',
    'Grants that have begun and ended. `event`: `begun`, `ended`.',
    ['role', 'event'],
  );
  const active = gauge(
    registry,
    'access_grants_active',
    'Grants whose end is not written yet, of all replicas: each replica reports the same number.',
    ['role'],
  );
  const breakGlass = counter(registry, 'access_break_glass_total', 'Grants of roles that need no approval.', ['role']);
  for (const name of roles) {
    for (const outcome of ACCESS_OUTCOMES) requests.inc({ role: name, outcome }, 0);
    for (const event of GRANT_EVENTS) grants.inc({ role: name, event }, 0);
    breakGlass.inc({ role: name }, 0);
  }
  return {
    accessRequest: (name, outcome) => requests.inc({ role: role(name), outcome }),
    accessGrant: (name, event) => grants.inc({ role: role(name), event }),
    accessGrantsActive(counts) {
      active.reset();
      for (const [name, count] of counts) active.set({ role: role(name) }, count);
    },
    accessBreakGlass: (name) => breakGlass.inc({ role: role(name) }),
    ...roleUsageMetrics(registry, role),
  };
}

function roleUsageMetrics(registry: MetricsRegistry, role: (name: string) => string): Pick<AccessMetrics, 'roleUsage'> {
  const about = 'of all replicas; read from the store every ten minutes, and the same at each replica.';
  const most = gauge(
    registry,
    'access_grants_of_one_user',
    `The largest number of grants that one user got within a day, ${about}`,
    ['role'],
  );
  const approvals = gauge(registry, 'access_approvals_of_week', `Approvals within seven days, ${about}`, ['role']);
  const approvers = gauge(
    registry,
    'access_approvers_of_week',
    `Different users whose approvals these were, ${about} At 1, one user decides alone.`,
    ['role'],
  );
  return {
    roleUsage(usage) {
      for (const measured of [most, approvals, approvers]) measured.reset();
      for (const [name, habit] of usage) {
        most.set({ role: role(name) }, habit.grantsOfOneUser);
        approvals.set({ role: role(name) }, habit.approvals);
        approvers.set({ role: role(name) }, habit.approvers);
      }
    },
  };
}

function noticeMetrics(registry: MetricsRegistry, { receivers = [] }: KnownNames): Pick<AccessMetrics, 'accessNotice'> {
  const notices = counter(
    registry,
    'access_notices_total',
    'Notices of access requests to webhooks. `outcome`: `delivered`, `dropped`; `failed` counts attempts.',
    ['receiver', 'outcome'],
  );
  const receiver = boundedLabel(receivers);
  for (const name of receivers) for (const outcome of NOTICE_OUTCOMES) notices.inc({ receiver: name, outcome }, 0);
  return { accessNotice: (name, outcome) => notices.inc({ receiver: receiver(name), outcome }) };
}

function stepUpMetrics(
  registry: MetricsRegistry,
  { clusters = [] }: KnownNames,
): Pick<AccessMetrics, 'stepUp' | 'stepUpNeeded'> {
  const stepUps = counter(registry, 'step_ups_total', 'Step-ups that were begun. `outcome`: `done`, `refused`.', [
    'outcome',
  ]);
  for (const outcome of STEP_UP_OUTCOMES) stepUps.inc({ outcome }, 0);
  const needed = counter(
    registry,
    'step_up_needed_total',
    'Requests that were rejected, because the user’s last proof at the provider is older than `stepUp` allows.',
    ['cluster'],
  );
  for (const cluster of clusters) needed.inc({ cluster }, 0);
  const cluster = boundedLabel(clusters);
  return {
    stepUp: (outcome) => stepUps.inc({ outcome }),
    stepUpNeeded: (name) => needed.inc({ cluster: cluster(name) }),
  };
}
