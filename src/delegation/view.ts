/** The JSON of the API for delegated sessions (docs/reference/delegations-api.md). */
import { requestView } from '../admin/session-view.ts';
import { actorText, type DelegatedActor, type Delegation } from '../core/delegation/delegation.ts';
import { describeLimits } from '../core/delegation/describe.ts';
import type { RightsLimit } from '../core/delegation/rights.ts';
import { rfc3339 } from '../core/time.ts';
import { lastUseOf, type RecentRequest, type SessionRecord } from '../store/store.ts';

export interface DelegationView {
  readonly id: string;
  readonly name: string;
  readonly actors: readonly DelegatedActor[];
  readonly parent: string;
  readonly clusters: readonly string[];
  readonly limits: readonly RightsLimit[];
  readonly rights: string;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly lastUsedAt: string;
  readonly address: string;
  readonly recent: readonly ReturnType<typeof requestView>[];
}

type Viewed = Pick<SessionRecord, 'id' | 'createdAt' | 'expiresAt' | 'address'> &
  Partial<Pick<SessionRecord, 'lastUsedAt' | 'lastRequestAt'>> & { readonly delegation: Delegation };

export function delegationView(session: Viewed, recent: readonly RecentRequest[] = []): DelegationView {
  const { id, address, createdAt, delegation, lastUsedAt = createdAt } = session;
  const { actors, ancestors, clusters, limits } = delegation;
  return {
    id,
    name: actorText(delegation),
    actors,
    parent: ancestors.at(-1) ?? '',
    clusters,
    limits,
    rights: describeLimits(limits),
    createdAt: rfc3339(createdAt),
    expiresAt: rfc3339(session.expiresAt),
    lastUsedAt: rfc3339(lastUseOf({ ...session, lastUsedAt })),
    address,
    recent: recent.map(requestView),
  };
}
