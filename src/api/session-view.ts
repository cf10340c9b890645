/**
 * The JSON form of sessions and their requests. The provider's refresh token is not part of a session record, so it
 * cannot leak here.
 */
import type { z } from 'zod';
import type { recentRequestSchema, sessionSchema } from '../core/api/responses.ts';
import { lastUseOf, type RecentRequest, type SessionRecord } from '../store/store.ts';
import { actorText, type Delegation } from '../core/delegation/delegation.ts';
import { describeLimits } from '../core/delegation/describe.ts';
import { rfc3339 } from '../core/time.ts';
import { defined } from '../core/defined.ts';

type DelegationView = NonNullable<z.output<typeof sessionSchema>['delegation']>;

/** Returns it field by field, because a record from the store may have more. */
export function delegationView(delegation: Delegation): DelegationView {
  const { actors, ancestors, clusters, limits, sourceCidrs } = delegation;
  return {
    name: actorText(delegation),
    actors: actors.map(({ name, registered }) => ({ name, ...(registered === true && { registered }) })),
    parent: ancestors.at(-1) ?? '',
    ancestors,
    clusters,
    limits,
    rights: describeLimits(limits),
    ...defined({ sourceCidrs }),
  };
}

export type SessionView = z.output<typeof sessionSchema>;

export function sessionView(session: SessionRecord): SessionView {
  return {
    id: session.id,
    account: session.account,
    provider: session.provider,
    subject: session.subject,
    username: session.identity.username,
    groups: session.identity.groups,
    client: session.client,
    createdAt: rfc3339(session.createdAt),
    lastUsedAt: rfc3339(lastUseOf(session)),
    expiresAt: rfc3339(session.expiresAt),
    address: session.address,
    userAgent: session.userAgent,
    ...defined({ deviceName: session.deviceName }),
    bound: session.thumbprint !== undefined,
    device: session.device === true,
    ...(session.delegation === undefined ? {} : { delegation: delegationView(session.delegation) }),
  };
}

/**
 * Returns one of a session's latest requests. Its time keeps the milliseconds, because many requests come within a
 * second.
 */
export const requestView = ({ at, ...request }: RecentRequest): z.output<typeof recentRequestSchema> => ({
  ...request,
  at: new Date(at).toISOString(),
});
