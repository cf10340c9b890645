/** Access requests to try a store with. */
import { randomBytes } from 'node:crypto';

import { OPEN_SECONDS, type AccessDecision, type AccessRequest } from '../../src/core/access/request.ts';
import type { LogEntry, LogPosition, RevocationTarget } from '../../src/core/credential/revocation.ts';
import type { AccessWrite, Store, StoredRequest } from '../../src/store/store.ts';
import { openNow, replica, type OpenStore, type StoreUnderTest, type TestClock } from './fixtures.ts';

export const approver = (clock: TestClock, change: Partial<AccessDecision> = {}): AccessDecision => ({
  account: 'corp/2',
  username: 'corp:bob@example.com',
  at: clock.seconds(),
  approved: true,
  ...change,
});

export const anAccessRequest = (clock: TestClock, change: Partial<AccessRequest> = {}): AccessRequest => ({
  id: randomBytes(16).toString('base64url'),
  session: 'session-1',
  account: 'corp/1',
  provider: 'corp',
  username: 'corp:alice@example.com',
  knownAs: ['alice@example.com'],
  terms: {
    name: 'shop-admins',
    description: 'Administers the shop.',
    groups: ['shop-admins'],
    clusters: ['prod'],
    requesters: ['corp:developers'],
    approval: { groups: ['corp:leads'], count: 1 },
  },
  reason: 'INC-4711',
  seconds: 1800,
  requestedAt: clock.seconds(),
  openUntil: clock.seconds() + OPEN_SECONDS,
  address: '192.0.2.7',
  state: 'open',
  decisions: [],
  ...change,
});

export const reasonOf = (write: AccessWrite): string => (write.ok ? 'written' : write.reason);

export function stored(write: AccessWrite): StoredRequest {
  if (!write.ok) throw new Error(`nothing was written: ${write.reason}`);
  return write.stored;
}

/** Makes a request of the session, which waits for approvals. */
export async function asked(
  { store, clock }: StoreUnderTest,
  change: Partial<AccessRequest> = {},
): Promise<StoredRequest> {
  return stored(await store.access.create(anAccessRequest(clock, change)));
}

/** The request, with one approval more. */
export const approved = (clock: TestClock, { request }: StoredRequest): AccessRequest => ({
  ...request,
  state: 'granted',
  decisions: [...request.decisions, approver(clock)],
});

export const denied = (clock: TestClock, { request }: StoredRequest): AccessRequest => ({
  ...request,
  state: 'denied',
  decisions: [...request.decisions, approver(clock, { approved: false, reason: 'ask tomorrow' })],
});

/** Begins the grant of an open request. */
export async function begun(subject: StoreUnderTest, read: StoredRequest, seconds = 1800): Promise<StoredRequest> {
  return stored(await subject.store.access.begin(read, approved(subject.clock, read), seconds));
}

/** Makes a request and begins its grant. */
export async function granted(
  subject: StoreUnderTest,
  change: Partial<AccessRequest> = {},
  seconds = 1800,
): Promise<StoredRequest> {
  return await begun(subject, await asked(subject, change), seconds);
}

export const grantsOf = async (store: Store, session = 'session-1'): Promise<readonly string[] | undefined> =>
  (await store.sessions.read(session))?.grants?.map(({ id }) => id);

export const grantTarget = ({ request }: StoredRequest): Extract<RevocationTarget, { kind: 'grant' }> => ({
  kind: 'grant',
  grant: request.id,
  session: request.session,
});

export async function entriesAfter(store: Store, position: LogPosition): Promise<readonly LogEntry[]> {
  const renewed = await store.log.renew(replica(), position);
  if (!renewed.ok) throw new Error(`not renewed: ${renewed.reason}`);
  return renewed.entries;
}

export const changes = (entries: readonly LogEntry[]): readonly string[] =>
  entries.map(({ change }) => (change.kind === 'drill' ? change.kind : `${change.kind} ${change.key}`));

/** A store with one session, `session-1` of `corp/1`. */
export async function opened(open: OpenStore): Promise<StoreUnderTest> {
  const subject = await open();
  await openNow(subject);
  return subject;
}

export const raise = (): never => {
  throw new Error('missing');
};
