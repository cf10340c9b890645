/** The real service of access requests at a stage of the admin API. */
import { createAccess, type RecheckedUser } from '../../src/access/access.ts';
import type { AccessRole } from '../../src/core/access/role.ts';
import type { Stage, StageOptions } from '../unit/web/harness.ts';

const SHOP_ADMINS_APPROVERS = ['corp:leads'];

const SHOP_ADMINS: AccessRole = {
  name: 'shop-admins',
  description: 'Repairs in the shop.',
  groups: ['granted:shop-admins'],
  requesters: ['corp:developers'],
  approval: { groups: SHOP_ADMINS_APPROVERS, count: 1 },
  longest: 3600,
};

/** @param options.recheck absent: each user is there still */
export function withAccess({
  approvers = SHOP_ADMINS_APPROVERS,
  recheck,
}: {
  readonly approvers?: readonly string[];
  readonly recheck?: (session: string) => Promise<RecheckedUser>;
} = {}): StageOptions {
  const role = { ...SHOP_ADMINS, approval: { groups: approvers, count: 1 } };
  return {
    change: (deps) => {
      const { requests, results } = createAccess({
        ...deps,
        config: { ...deps.config, access: { roles: [role], freshness: 900, notify: [] } },
        guard: deps.guard as Stage['guard'],
        store: deps.store as Stage['store'],
        mayUse: () => true,
        recheck:
          recheck ??
          (async (session) => {
            const record = await deps.store.sessions.read(session);
            return record === undefined ? { kind: 'gone' } : { kind: 'same', record };
          }),
      });
      return { ...deps, access: requests, results };
    },
  };
}

/** Stores a request of Alice, who has a session for it. @returns its id */
export async function askedByAlice(
  stage: Stage,
  session: string,
  approvers: readonly string[] = SHOP_ADMINS_APPROVERS,
): Promise<string> {
  const now = Math.floor(stage.clock.nowMs() / 1000);
  const id = `request-of-${session}`;
  const written = await stage.store.access.create({
    id,
    session,
    account: 'corp/sub-alice',
    provider: 'corp',
    username: 'corp:alice@example.com',
    knownAs: ['alice@example.com'],
    terms: {
      name: SHOP_ADMINS.name,
      description: SHOP_ADMINS.description,
      groups: SHOP_ADMINS.groups,
      requesters: SHOP_ADMINS.requesters,
      approval: { groups: approvers, count: 1 },
    },
    reason: 'INC-4711',
    seconds: 600,
    requestedAt: now,
    openUntil: now + 3600,
    address: '192.0.2.7',
    state: 'open',
    decisions: [],
  });
  if (!written.ok) throw new Error(written.reason);
  return id;
}
