/**
 * What is usual for each role, over all replicas: how many grants one user gets in a day, and how many different users
 * approve in a week. Read from the store, because each replica sees a part only; and counted without naming any user.
 */
import { approvalsOf, type AccessRequest } from '../../core/access/request.ts';
import type { RoleUsage } from '../../core/access/role-usage.ts';
import { nowSeconds, type Clock } from '../../contracts/clock.ts';
import type { Logger } from '../../contracts/logger.ts';
import { everyPage, type AccessStore } from '../../store/store.ts';

export interface RoleUsageDeps {
  readonly store: Pick<AccessStore, 'list'>;
  /** Names of the configured roles. */
  readonly roles: readonly string[];
  readonly observe: (usage: ReadonlyMap<string, RoleUsage>) => void;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

const EVERY_MS = 10 * 60_000;
const DAY_SECONDS = 86_400;
const WEEK_SECONDS = 7 * DAY_SECONDS;
/** Anyone who makes requests without end must not make each replica read without end. */
const MOST_READ = 2000;
const PAGE = 100;

export interface RoleUsageCount {
  /** Counts now, and then every ten minutes. */
  start(): void;
  stop(): void;
}

export function createRoleUsageCount(deps: RoleUsageDeps): RoleUsageCount {
  let stopped = deps.roles.length === 0;
  let timer: NodeJS.Timeout | undefined;
  const count = (): void => {
    readRoleUsage(deps).then(deps.observe, (err: unknown) => {
      if (!stopped) deps.logger.warn({ err }, 'access requests could not be counted');
    });
  };
  return {
    start() {
      if (stopped) return;
      count();
      timer = setInterval(count, EVERY_MS).unref();
    },
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

export async function readRoleUsage({
  store,
  roles,
  clock,
}: Pick<RoleUsageDeps, 'store' | 'roles' | 'clock'>): Promise<ReadonlyMap<string, RoleUsage>> {
  const now = nowSeconds({ clock });
  const requests = await ofLastWeek(store, now - WEEK_SECONDS);
  return new Map(
    roles.map((role) => {
      const own = requests.filter(({ terms }) => terms.name === role);
      const begun = own.filter(({ grant }) => grant !== undefined && grant.beganAt > (now - DAY_SECONDS) * 1000);
      const approvals = own.flatMap(approvalsOf).filter(({ at }) => at > now - WEEK_SECONDS);
      const counts = [...Map.groupBy(begun, ({ account }) => account).values()].map(({ length }) => length);
      const approvers = new Set(approvals.map(({ account }) => account)).size;
      return [role, { grantsOfOneUser: Math.max(0, ...counts), approvals: approvals.length, approvers }] as const;
    }),
  );
}

/** A request waits for a day at most, so one that is older than a week was decided before. */
async function ofLastWeek(store: RoleUsageDeps['store'], since: number): Promise<readonly AccessRequest[]> {
  const requests: AccessRequest[] = [];
  for await (const page of everyPage(store, { limit: PAGE })) {
    requests.push(...page.requests.map(({ request }) => request));
    if ((requests.at(-1)?.requestedAt ?? 0) < since - DAY_SECONDS || requests.length >= MOST_READ) break;
  }
  return requests;
}
