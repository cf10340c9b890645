import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MOST_GRANTS, type SessionGrant } from '../../../../src/core/access/request.ts';
import type { AccessRole } from '../../../../src/core/access/role.ts';
import type { Caller } from '../../../../src/core/credential/credential.ts';
import { coveringKeys, grantKey } from '../../../../src/core/credential/revocation.ts';
import { GrantDeadlines } from '../../../../src/proxy/admission/grant-deadlines.ts';
import { Granted } from '../../../../src/proxy/admission/granted.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import type { SessionRecord } from '../../../../src/store/store.ts';
import { ALICE, pass, replicas } from '../../revocation/replica-harness.ts';

const ADMINS: AccessRole = {
  name: 'shop-admins',
  description: 'All of the shop.',
  groups: ['shop:admins', 'shop:on-call'],
  clusters: ['prod', 'staging'],
  requesters: ['corp:developers'],
  approval: 'none',
  longest: 3600,
};
const OWN = ['corp:developers', 'corp:all'];
const GRANT: SessionGrant = {
  id: 'g1',
  role: ADMINS.name,
  groups: ADMINS.groups,
  clusters: ['prod', 'staging'],
  endsAt: 0,
  leftMs: 60_000,
};
const DELEGATION = { ancestors: ['own'], actors: [], clusters: ['prod'], limits: [] };
const sessionOf = (grants: readonly SessionGrant[], groups: readonly string[] = OWN): SessionRecord => ({
  id: ALICE.session,
  account: ALICE.account,
  provider: ALICE.provider,
  subject: 'alice',
  client: 'c',
  identity: { username: 'alice', uid: 'u', groups, extra: {} },
  version: 1,
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: 1,
  idleSeconds: 1,
  address: '',
  userAgent: '',
  startedAt: { epoch: 'e', number: 0 },
  checkedAt: 0,
  grants,
});

describe('the groups of a grant', () => {
  let made: ReturnType<typeof replicas>;
  let guard: RevocationGuard;
  let told: (readonly [string, string])[];
  beforeEach(async () => {
    vi.useFakeTimers();
    made = replicas();
    ({ guard } = await made.started());
    told = [];
  });
  afterEach(async () => {
    await made.stop();
    vi.useRealTimers();
  });

  const granting = (...roles: readonly AccessRole[]): Granted =>
    new Granted(
      {
        roles,
        monotonicMs: () => performance.now(),
        onIneligibleGrant: ({ id }, { id: session }, why) => void told.push([`${session} ${id}`, why]),
      },
      guard,
    );
  const caller = ({ id, identity }: SessionRecord): Caller => {
    const owner = { session: id, account: ALICE.account, provider: ALICE.provider };
    const claims = { tokenId: 't', audience: 'a', client: 'c', issuedAt: 0, expiresAt: 1 };
    const position = guard.position ?? { epoch: '', number: 0 };
    return {
      credential: { ...owner, ...claims, keys: coveringKeys(owner), position },
      identity,
      sessionExpiresAt: 1,
      sessionIdleAt: 1,
    };
  };
  const at = (granted: Granted, record: SessionRecord, cluster = 'prod'): Caller =>
    granted.withGrants(caller(record), record, cluster);
  const read = async (granted: Granted, record: SessionRecord): Promise<SessionRecord> => {
    await granted.read(async () => record);
    return record;
  };

  it('are added to the user’s own, with what ends the request', async () => {
    const granted = granting(ADMINS);
    const beganAtMs = performance.now();
    const record = await read(granted, sessionOf([GRANT]));
    const { identity, ownIdentity, credential, grants } = at(granted, record);
    expect(identity).toEqual({ ...record.identity, groups: [...OWN, 'shop:admins', 'shop:on-call'] });
    expect([ownIdentity, grants]).toEqual([record.identity, [GRANT]]);
    expect(credential.keys.grants).toEqual([grantKey('g1')]);
    expect(credential.grantsEndAtMs).toBeLessThanOrEqual(beganAtMs + 60_000);
    expect(credential.grantsEndAtMs).toBeGreaterThan(beganAtMs + 59_900);
    expect(guard.check(credential)).toBeUndefined();
  });

  const other = (change: Partial<AccessRole>): AccessRole => ({ ...ADMINS, ...change });
  const terms = (change: Partial<SessionGrant>): SessionGrant => ({ ...GRANT, ...change });
  it.each<[string, { roles?: AccessRole[]; grant?: SessionGrant; own?: string[]; given: string[]; why?: string }]>([
    ['a role that is not configured any more', { roles: [], given: [], why: 'role' }],
    ['a user who has left the groups that may ask', { own: ['corp:all'], given: [], why: 'group' }],
    ['a role that no one may ask for any more', { roles: [other({ requesters: [] })], given: [], why: 'group' }],
    ['a cluster that was not approved', { grant: terms({ clusters: ['staging'] }), given: [] }],
    ['no cluster', { grant: terms({ clusters: [] }), given: [] }],
    ['a cluster that is not configured any more', { roles: [other({ clusters: ['staging'] })], given: [] }],
    ['every cluster, where the role is narrower now', { roles: [other({ clusters: [] })], given: [] }],
    [
      'fewer groups in the configuration',
      { roles: [other({ groups: ['shop:on-call', 'new'] })], given: ['shop:on-call'] },
    ],
    ['fewer groups that were approved', { grant: terms({ groups: ['shop:admins'] }), given: ['shop:admins'] }],
    ['one that the user has anyway', { own: [...OWN, 'shop:on-call'], given: ['shop:admins'] }],
    ['none that the user does not have', { own: [...OWN, ...ADMINS.groups], given: [] }],
    ['no time left', { grant: terms({ leftMs: 0 }), given: [] }],
    ['a time that is no number', { grant: terms({ leftMs: Number.NaN }), given: [] }],
  ])('are what counts of %s', async (_what, { roles = [ADMINS], grant = GRANT, own = OWN, given, why }) => {
    const granted = granting(...roles);
    const record = await read(granted, sessionOf([grant], own));
    const asked = at(granted, record);
    expect(asked.identity.groups).toEqual([...own, ...given]);
    expect(asked.grants?.length ?? 0).toBe(given.length > 0 ? 1 : 0);
    expect(at(granted, record).identity).toBe(asked.identity);
    expect(told).toEqual(why === undefined ? [] : [[`${ALICE.session} g1`, why]]);
  });

  it('are for every cluster where neither names one', async () => {
    const { clusters: _clusters, ...everywhere } = GRANT;
    const { clusters: _configured, ...role } = ADMINS;
    const granted = granting(role);
    const record = await read(granted, sessionOf([everywhere]));
    expect(['prod', 'x'].map((cluster) => at(granted, record, cluster).identity.groups.length)).toEqual([4, 4]);
  });

  it('open no other role to its user', async () => {
    const granted = granting(ADMINS, other({ name: 'root', groups: ['root'], requesters: ['shop:admins'] }));
    const record = await read(granted, sessionOf([GRANT, terms({ id: 'g2', role: 'root', groups: ['root'] })]));
    expect(at(granted, record).identity.groups).toEqual([...OWN, ...ADMINS.groups]);
    expect(told).toEqual([[`${ALICE.session} g2`, 'group']]);
  });

  it('never reach a delegated session, nor one whose grants were not read from the store', async () => {
    const granted = granting(ADMINS);
    const delegated = await read(granted, { ...sessionOf([GRANT]), delegation: DELEGATION });
    const unread = sessionOf([terms({ id: 'unread' })]);
    for (const record of [delegated, unread]) {
      const own = caller(record);
      expect(granted.withGrants(own, record, 'prod')).toBe(own);
    }
  });

  it('of two grants are there together, each until its own end, and end the request at the first', async () => {
    const granted = granting(ADMINS, other({ name: 'db', groups: ['db:read', 'shop:on-call'] }));
    const later = terms({ id: 'g2', role: 'db', groups: ['db:read', 'shop:on-call'], leftMs: 120_000 });
    const record = await read(granted, sessionOf([later, GRANT]));
    const both = at(granted, record);
    expect(both.identity.groups).toEqual([...OWN, 'db:read', 'shop:on-call', 'shop:admins']);
    expect(both.grants?.map(({ id }) => id)).toEqual(['g2', 'g1']);
    expect(both.credential.grantsEndAtMs).toBeLessThan(performance.now() + 60_000);
    await pass(60_000);
    expect(guard.check(both.credential)).toBe('grant_ended');
    expect(at(granted, record).identity.groups).toEqual([...OWN, 'db:read', 'shop:on-call']);
    await pass(60_000);
    expect(at(granted, record).identity).toBe(record.identity);
  });

  it.each([
    [
      'by an entry, for a token minted after it as well',
      () => void made.shared.append({ requestId: 'r', target: TARGET }),
    ],
    ['while they are held here', () => void guard.hold(TARGET, 10)],
  ])('end %s', async (_how, end) => {
    const granted = granting(ADMINS);
    const record = await read(granted, sessionOf([GRANT]));
    expect(at(granted, record).grants).toHaveLength(1);
    end();
    await pass(600);
    expect([at(granted, record).grants, told]).toEqual([undefined, []]);
  });

  it('share one identity from request to request, so that what is made of it is made once', async () => {
    const granted = granting(ADMINS);
    const record = await read(granted, sessionOf([GRANT]));
    expect(at(granted, record).identity).toBe(at(granted, record).identity);
    expect(at(granted, record, 'staging').identity).not.toBe(at(granted, record).identity);
  });

  it('tell of one that is to be ended once for each time that the session is read', async () => {
    const granted = granting();
    const [one, two] = [await read(granted, sessionOf([GRANT])), await read(granted, sessionOf([terms({})]))];
    for (const record of [one, one, two]) at(granted, record);
    expect(told).toHaveLength(2);
  });

  it('end by the time from before the store was asked, however long it took', async () => {
    const granted = granting(ADMINS);
    const record = sessionOf([terms({ leftMs: 10_000 })]);
    const reading = granted.read(async () => {
      await new Promise((resolve) => setTimeout(resolve, 9_000));
      return record;
    });
    await pass(9_000);
    await reading;
    expect(at(granted, record).grants).toHaveLength(1);
    await pass(1_000);
    expect(at(granted, record).grants).toBeUndefined();
  });
});

const TARGET = { kind: 'grant', grant: 'g1', session: ALICE.session } as const;

describe('the end of a grant at one replica', () => {
  it('is never later than one that was known before, whatever the store says now', () => {
    const deadlines = new GrantDeadlines();
    deadlines.note({ id: 'g', leftMs: 60_000 }, 0);
    // A clock that was set back an hour, or a store that was put back; later also after the end.
    deadlines.note({ id: 'g', leftMs: 3_660_000 }, 30_000);
    deadlines.note({ id: 'g', leftMs: 60_000 }, 90_000);
    expect(deadlines.of('g')?.atMs).toBeCloseTo(60_000 / 1.001);
    deadlines.note({ id: 'g', leftMs: 1_000 }, 10_000);
    expect(deadlines.of('g')?.atMs).toBeCloseTo(10_000 + 1_000 / 1.001);
  });

  it('is earlier than the store’s, because this clock may be slower', () => {
    const deadlines = new GrantDeadlines();
    deadlines.note({ id: 'g', leftMs: 86_400_000 }, 0);
    expect(deadlines.of('g')?.atMs).toBeLessThan(86_400_000 - 86_000);
  });

  it('is forgotten in bounded memory: the first to end, and then it gives nothing', () => {
    const deadlines = new GrantDeadlines();
    for (let index = 0; index < 4 * MOST_GRANTS + 2; index += 1) {
      deadlines.note({ id: `g${index}`, leftMs: 1_000 + index }, 0);
    }
    const known = ['g0', 'g1', 'g2', `g${4 * MOST_GRANTS + 1}`].map((id) => deadlines.of(id) !== undefined);
    expect(known).toEqual([false, false, true, true]);
  });
});
