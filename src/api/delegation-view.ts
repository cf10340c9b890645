/** The JSON of the API for delegated sessions (docs/reference/delegations-api.md). */
import { delegationView, requestView } from './session-view.ts';
import type { Delegation } from '../core/delegation/delegation.ts';
import { rfc3339 } from '../core/time.ts';
import { lastUseOf, type RecentRequest, type SessionRecord } from '../store/store.ts';

type Viewed = Pick<SessionRecord, 'id' | 'createdAt' | 'expiresAt' | 'address'> &
  Partial<Pick<SessionRecord, 'lastUsedAt' | 'lastRequestAt'>> & { readonly delegation: Delegation };

/** Returns a session of a list: its rules, of which it may have eight kilobytes, are in the response for it alone. */
export function listedView(session: Viewed, recent: readonly RecentRequest[]) {
  const { id, address, createdAt, expiresAt, delegation, lastUsedAt = createdAt } = session;
  const { ancestors: _ancestors, limits: _limits, ...about } = delegationView(delegation);
  return {
    id,
    ...about,
    createdAt: rfc3339(createdAt),
    expiresAt: rfc3339(expiresAt),
    lastUsedAt: rfc3339(lastUseOf({ ...session, lastUsedAt })),
    address,
    recent: recent.map(requestView),
  };
}

export const delegatedView = (session: Viewed, recent: readonly RecentRequest[] = []) => ({
  ...listedView(session, recent),
  limits: session.delegation.limits,
});
