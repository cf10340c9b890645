/** The real service of access requests at a stage of the pages and the admin API. */
import type { RecheckUser } from '../../src/services/admin/confirmed-user.ts';
import { createAccess } from '../../src/services/access/access.ts';
import { OPEN_SECONDS, type AccessRequest } from '../../src/core/access/request.ts';
import { termsOf, type AccessRole } from '../../src/core/access/role.ts';
import type { Stage, StageOptions } from '../unit/web/harness.ts';

export const SHOP_ADMINS: AccessRole = {
  name: 'shop-admins',
  description: 'Repairs in the shop.',
  groups: ['granted:shop-admins'],
  clusters: ['prod'],
  requesters: ['corp:developers', 'corp:platform'],
  approval: { groups: ['corp:leads'], count: 1 },
  longest: 7200,
};

/** The same, where admins may approve. */
export const BY_ADMINS: AccessRole = { ...SHOP_ADMINS, approval: { groups: ['corp:platform'], count: 1 } };

/** @param options.recheck absent: each user is there still */
export function withAccess({
  roles = [SHOP_ADMINS],
  recheck,
}: {
  readonly roles?: readonly AccessRole[];
  readonly recheck?: RecheckUser;
} = {}): StageOptions {
  const access = { roles, freshness: 900, notify: [] };
  return {
    config: { access },
    change: (deps) => {
      const { requests, results } = createAccess({
        ...deps,
        config: { ...deps.config, access },
        guard: deps.guard as Stage['guard'],
        store: deps.store as Stage['store'],
        mayUse: () => true,
        recheck: recheck ?? deps.recheckUser,
      });
      return { ...deps, access: requests, results };
    },
  };
}

/**
 * Stores a request of alice, who has a session for it.
 * @param grantSeconds for one that has been granted at once
 * @returns its id
 */
export async function askedByAlice(
  { store, clock }: Pick<Stage, 'store' | 'clock'>,
  session: string,
  changes: Partial<AccessRequest> = {},
  grantSeconds?: number,
): Promise<string> {
  const now = Math.floor(clock.nowMs() / 1000);
  const request: AccessRequest = {
    id: `request-of-${session}`,
    session,
    account: 'corp/sub-alice',
    provider: 'corp',
    username: 'corp:alice@example.com',
    knownAs: ['alice@example.com'],
    terms: termsOf(SHOP_ADMINS),
    reason: 'INC-4711',
    seconds: 600,
    requestedAt: now,
    openUntil: now + OPEN_SECONDS,
    address: '192.0.2.7',
    state: grantSeconds === undefined ? 'open' : 'granted',
    decisions: [],
    ...changes,
  };
  const written = await store.access.create(request, grantSeconds === undefined ? {} : { grantSeconds });
  if (!written.ok) throw new Error(written.reason);
  return request.id;
}
