/**
 * A session as others see it: JSON for programs. The provider's refresh token is not part of a record, so it cannot leak here.
 */
import type { SessionRecord } from '../../store/store.ts';
import { rfc3339 } from '../page/layout.ts';

export interface SessionView {
  readonly id: string;
  readonly account: string;
  readonly provider: string;
  readonly subject: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly client: string;
  /** RFC 3339, as the other two. */
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly expiresAt: string;
  readonly address: string;
  readonly userAgent: string;
  /** Tied to a client certificate (RFC 8705). */
  readonly bound: boolean;
  /** Signed in by a code (RFC 8628). */
  readonly device: boolean;
}

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
    lastUsedAt: rfc3339(session.lastUsedAt),
    expiresAt: rfc3339(session.expiresAt),
    address: session.address,
    userAgent: session.userAgent,
    bound: session.thumbprint !== undefined,
    device: session.device === true,
  };
}
