import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MOST_REASON } from '../../../../src/core/access/request.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { BREAK_GLASS, problem, USERS, ROLE, Stage } from './stage.ts';

const ORDER = { role: 'shop-admins', seconds: 600, reason: 'INC-4711' };

let stage: Stage;
beforeEach(async () => {
  stage = new Stage();
  await stage.start();
});
afterEach(() => stage.guard.stop());

const TWO = { ...ROLE, approval: { groups: ['corp:leads'], count: 2 } };

function revoked(): never {
  throw new AppError('unauthenticated', 'Sign in again.', { reason: 'revoked' });
}

/** Alice’s request, whose events are forgotten. */
async function asked(access = stage.access(), order: Partial<typeof ORDER> = {}): Promise<string> {
  const { id } = await access.requests.request(await stage.caller('alice'), { ...ORDER, ...order });
  stage.events();
  return id;
}

describe('a request', () => {
  it('is approved by a colleague, begins at once, and is audited with both names', async () => {
    const { requests } = stage.access();
    const open = await requests.request(await stage.caller('alice'), ORDER);
    expect(open).toMatchObject({
      state: 'open',
      account: 'corp/alice',
      knownAs: ['alice@example.com'],
      session: 'alice',
    });
    expect(stage.events()).toEqual(['access-requested 201 INC-4711']);
    const granted = await requests.approve(await stage.caller('bob'), open.id, 'ok');
    expect(granted).toMatchObject({ state: 'granted', grant: { beganAt: stage.nowMs, endsAt: stage.nowMs + 600_000 } });
    const [approved, begun] = stage.audited.map(({ annotations }) => annotations);
    expect(approved).toMatchObject({
      'portcullis.dev/event': 'access-approved',
      'portcullis.dev/account': 'corp/bob',
      'portcullis.dev/asked-by': 'corp:alice@example.com',
      'portcullis.dev/asked-by-account': 'corp/alice',
      'portcullis.dev/approvals': '1/1',
      'portcullis.dev/grant-id': open.id,
      'portcullis.dev/reason': 'ok',
    });
    expect(begun).toMatchObject({
      'portcullis.dev/event': 'access-begun',
      'portcullis.dev/account': 'corp/alice',
      'portcullis.dev/session': 'alice',
      'portcullis.dev/groups': 'shop-admins',
      'portcullis.dev/clusters': 'prod',
      'portcullis.dev/seconds': '600',
      'portcullis.dev/approved-by': 'corp:bob@example.com',
      'portcullis.dev/reason': 'INC-4711',
    });
    expect((await stage.store.sessions.read('alice'))?.grants).toMatchObject([
      { id: open.id, groups: ['shop-admins'] },
    ]);
    expect(stage.counted).toEqual(['requested shop-admins', 'approved shop-admins', 'grant begun shop-admins']);
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['requested', 'granted']);
  });

  it('for a role without approval begins at once, and is counted as break-glass', async () => {
    const { requests } = stage.access();
    const granted = await requests.request(await stage.caller('alice'), { ...ORDER, role: 'break-glass' });
    expect(granted).toMatchObject({ state: 'granted', grant: { endsAt: stage.nowMs + 600_000 } });
    expect(stage.events()).toEqual(['access-requested 201 INC-4711', 'access-begun 200 INC-4711']);
    expect(stage.counted).toEqual(['requested break-glass', 'grant begun break-glass', 'break-glass break-glass']);
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['break-glass']);
  });

  it('is for another session of one’s own where the user says so', async () => {
    await stage.signIn('laptop', USERS.alice, { account: 'corp/alice', knownAs: ['a.smith'], deviceName: 'laptop' });
    const { requests } = stage.access();
    const open = await requests.request(await stage.caller('alice'), { ...ORDER, session: 'laptop' });
    expect(open).toMatchObject({ session: 'laptop', deviceName: 'laptop', knownAs: ['alice@example.com', 'a.smith'] });
  });

  it('has a reason on one line, without characters that turn a terminal around', async () => {
    const { requests } = stage.access();
    const hostile = '  INC\u0000-1\n\u202Eevil\u200B \uD800 \u001B[2J%s{{}}<script>\u2028x ';
    const { reason } = await requests.request(await stage.caller('alice'), { ...ORDER, reason: hostile });
    expect(reason).toBe('INC-1 evil [2J%s{{}}<script> x');
  });
});

describe('is rejected and audited', () => {
  interface Row {
    readonly what: string;
    readonly as?: string;
    readonly order?: Partial<typeof ORDER & { readonly session: string }>;
    readonly before?: () => Promise<void> | void;
    readonly problem: string;
  }
  const rows: readonly Row[] = [
    { what: 'an unknown role', order: { role: 'cluster-gods' }, problem: '404 role_not_found' },
    { what: 'a role of other requesters', as: 'mallory', problem: '404 role_not_found' },
    { what: 'a minute less a second', order: { seconds: 59 }, problem: '400 seconds_malformed' },
    { what: 'longer than the role may last', order: { seconds: 3601 }, problem: '400 seconds_malformed' },
    { what: 'half a second', order: { seconds: 600.5 }, problem: '400 seconds_malformed' },
    { what: 'a time that is no number', order: { seconds: Number.NaN }, problem: '400 seconds_malformed' },
    {
      what: 'a reason that is too long',
      order: { reason: 'x'.repeat(MOST_REASON + 1) },
      problem: '400 reason_malformed',
    },
    { what: 'a reason of megabytes', order: { reason: '\u200B'.repeat(1_000_000) }, problem: '400 reason_malformed' },
    {
      what: 'a reason that does not match as a whole',
      order: { role: 'break-glass', reason: 'no INC-1 really' },
      problem: '400 reason_needed',
    },
    {
      what: 'a second line that would match',
      order: { role: 'break-glass', reason: 'x\nINC-1' },
      problem: '400 reason_needed',
    },
    { what: 'a workload', as: 'ci', problem: '403 workload' },
    { what: 'the session of another user', order: { session: 'bob' }, problem: '404 session_not_found' },
    { what: 'a session that does not exist', order: { session: 'nothing' }, problem: '404 session_not_found' },
    {
      what: 'a provider that does not answer',
      before: () => void stage.provider.set('alice', 'away'),
      problem: '502 provider_unavailable',
    },
    {
      what: 'a user who has left',
      before: () => void stage.provider.set('alice', 'refused'),
      problem: '401 session_over',
    },
    {
      what: 'a session of an earlier version',
      as: 'old',
      before: () => stage.signIn('old', { ...USERS.alice, knownAs: [] }),
      problem: '403 sign_in_again',
    },
    {
      what: 'a provider that cannot be asked, some time after the sign-in',
      before: () => void (stage.nowMs += 400_000),
      problem: '403 sign_in_again',
    },
    {
      what: 'a role that needs a fresh sign-in, with an older one',
      as: 'stale',
      order: { role: 'fresh' },
      before: () => stage.signIn('stale', USERS.alice, { authTime: stage.seconds - 400 }),
      problem: '401 fresh_sign_in_needed',
    },
    {
      what: 'a role that needs a fresh sign-in, of a provider that says nothing of it',
      as: 'silent',
      order: { role: 'fresh' },
      before: () => stage.signIn('silent', { ...USERS.alice, provider: 'silent' }),
      problem: '403 freshness_unprovable',
    },
    { what: 'the same role twice', before: async () => void (await asked()), problem: '409 role_open' },
    {
      what: 'a role that the session has',
      order: { role: 'break-glass' },
      before: async () => void (await asked(stage.access(), { role: 'break-glass' })),
      problem: '409 role_active',
    },
  ];
  it.each(rows)('$what', async ({ as = 'alice', order = {}, before, problem: expected }) => {
    const { requests } = stage.access({ roles: [ROLE, BREAK_GLASS, { ...ROLE, name: 'fresh', freshness: 300 }] });
    await before?.();
    const caller = await stage.caller(as);
    stage.events();
    expect(await problem(requests.request(caller, { ...ORDER, ...order }))).toBe(expected);
    const [event, ...others] = stage.events();
    expect(others).toEqual([]);
    expect(event).toMatch(new RegExp(`^access-refused ${expected.slice(0, 3)} `));
    expect(stage.counted.at(-1)).toMatch(/^refused /);
  });
});

describe('a decision', () => {
  it('is never by the requester, with whatever account', async () => {
    const { requests } = stage.access({ roles: [{ ...ROLE, requesters: ['corp:dev', 'corp:leads'] }] });
    await stage.signIn('shouting', { groups: ['corp:leads'], provider: 'other', knownAs: ['alice@example.com'] });
    const id = await asked(stage.access());
    const own = await requests.request(await stage.caller('carol'), ORDER);
    expect(await problem(requests.approve(await stage.caller('carol'), own.id))).toBe('403 own_request');
    for (const session of ['alice2', 'shouting']) {
      for (const verb of ['approve', 'deny'] as const) {
        expect(await problem(requests[verb](await stage.caller(session), id)), session).toBe('403 own_request');
      }
    }
    expect((await stage.store.access.find(id))?.request.state).toBe('open');
  });

  it('is by an approver of the role only: not by an admin, an auditor, a workload, a delegated session', async () => {
    const { requests } = stage.access();
    const id = await asked();
    const delegation = { ancestors: ['bob'], actors: [{ name: 'claude' }], clusters: ['prod'], limits: [] };
    await stage.signIn('agent', USERS.bob, { account: 'corp/bob', delegation });
    for (const [session, expected] of [
      ['root', '403 not_an_approver'],
      ['audrey', '403 not_an_approver'],
      ['mallory', '404 request_not_found'],
      ['ci', '403 workload'],
      ['agent', '403 delegated_session'],
    ] as const) {
      expect(await problem(requests.approve(await stage.caller(session), id)), session).toBe(expected);
      expect(stage.events(), session).toEqual([`access-refused ${expected}`]);
    }
  });

  it('needs a fresh sign-in and a provider that confirms both users', async () => {
    const { requests } = stage.access();
    const id = await asked();
    stage.provider.set('bob', 'away');
    expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('502 provider_unavailable');
    stage.provider.clear();
    stage.provider.set('alice', 'away');
    expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('502 provider_unavailable');
    stage.provider.set('alice', 'refused');
    expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('409 requester_gone');
    stage.provider.clear();
    await stage.signIn('stale', USERS.bob, { authTime: stage.seconds - 1000 });
    expect(await problem(requests.approve(await stage.caller('stale'), id))).toBe('401 fresh_sign_in_needed');
    expect(await problem(requests.deny(await stage.caller('stale'), id))).toBe('401 fresh_sign_in_needed');
    const off = stage.access({ freshness: 'off' });
    expect((await off.requests.approve(await stage.caller('stale'), id)).id).toBe(id);
  });

  it('needs a requester whose provider has confirmed them just now: one that cannot be asked again does not', async () => {
    const { requests } = stage.access();
    const id = await asked();
    stage.nowMs += 400_000;
    await stage.signIn('bob4', USERS.bob);
    expect(await problem(requests.approve(await stage.caller('bob4'), id))).toBe('409 requester_signs_in_again');
    expect(await requests.deny(await stage.caller('bob4'), id)).toMatchObject({ state: 'denied' });
  });

  it.each([
    ['approve', 'alice'],
    ['approve', 'dave'],
    ['deny', 'alice'],
    ['end', ''],
  ] as const)('is not made (%s) by an approver who is revoked while %s is looked at', async (verb, while_) => {
    const { requests } = stage.access({ roles: [TWO] });
    const id = await asked(stage.access({ roles: [TWO] }));
    await requests.approve(await stage.caller('dave'), id);
    if (verb === 'end') await requests.approve(await stage.caller('carol'), id);
    const before = await stage.store.access.find(id);
    let isRevoked = false;
    const { sessions, access } = stage.store;
    const [read, find] = [sessions.read.bind(sessions), access.find.bind(access)];
    const bob = await stage.caller('bob');
    sessions.read = (session) => {
      isRevoked ||= session === while_;
      return read(session);
    };
    access.find = (request) => {
      isRevoked ||= while_ === '';
      return find(request);
    };
    const actor = { ...bob.actor, assertValid: () => void (isRevoked && revoked()) };
    stage.events();
    expect(await problem(requests[verb]({ ...bob, actor }, id))).toBe('401 unauthenticated');
    expect(stage.events()).toEqual(['access-refused 401 revoked']);
    expect(await find(id)).toEqual(before);
  });

  it('counts different humans: one who approves twice, or with a second account, counts once', async () => {
    const { requests } = stage.access({ roles: [TWO] });
    const id = await asked(stage.access({ roles: [TWO] }));
    await stage.signIn('bob2', { groups: ['corp:leads'], provider: 'other', knownAs: ['bob@example.com'] });
    expect(await requests.approve(await stage.caller('bob'), id)).toMatchObject({ state: 'open' });
    for (const again of ['bob', 'bob2']) {
      expect(await problem(requests.approve(await stage.caller(again), id)), again).toBe('409 already_approved');
    }
    expect(await requests.approve(await stage.caller('carol'), id)).toMatchObject({ state: 'granted' });
    expect(stage.notices.map(({ kind }) => kind)).toEqual(['requested', 'approved', 'granted']);
  });

  it('of two at the same moment is judged again: both count, and the grant begins once', async () => {
    const access = stage.access({ roles: [TWO] });
    const id = await asked(access);
    const callers = await Promise.all(['bob', 'carol', 'dave'].map((name) => stage.caller(name)));
    const outcomes = await Promise.allSettled(callers.map((caller) => access.requests.approve(caller, id)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    const events = stage.events();
    expect(events.filter((event) => event.startsWith('access-begun'))).toHaveLength(1);
    expect(events.filter((event) => event.startsWith('access-refused 409 request_granted'))).toHaveLength(1);
  });

  it.each([
    ['groups', { groups: ['shop-admins', 'system-admins'] }],
    ['clusters', { clusters: ['prod', 'lab'] }],
    ['description', { description: 'Reads the shop.' }],
    ['approvals', { approval: { groups: ['corp:leads'], count: 3 } }],
  ])('of a role with other %s than were asked for is rejected', async (_what, changed) => {
    const id = await asked();
    const { requests } = stage.access({ roles: [{ ...ROLE, ...changed }] });
    expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('409 role_changed');
  });

  it('is rejected for a requester who has left the groups, or a role that lasts shorter now', async () => {
    const id = await asked();
    const { requests } = stage.access({ roles: [{ ...ROLE, longest: 300 }] });
    expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('409 requester_not_eligible');
    const record = await stage.store.sessions.read('alice');
    if (record === undefined) throw new Error('no session');
    await stage.store.sessions.update('alice', { identity: { ...record.identity, groups: [] }, secret: {} });
    expect(await problem(stage.access().requests.approve(await stage.caller('bob'), id))).toBe(
      '409 requester_not_eligible',
    );
  });

  it('comes too late after a denial, a withdrawal, the end of its time, and the end of the session', async () => {
    const { requests } = stage.access();
    const late = async (id: string): Promise<string> => problem(requests.approve(await stage.caller('bob'), id));
    const denied = await asked();
    await requests.deny(await stage.caller('bob'), denied, 'ask tomorrow');
    expect(stage.events()).toEqual(['access-denied 200 ask tomorrow']);
    expect(await late(denied)).toBe('409 request_denied');
    const withdrawn = await asked();
    expect(await requests.end(await stage.caller('alice'), withdrawn)).toMatchObject({
      request: { state: 'withdrawn' },
    });
    expect(await late(withdrawn)).toBe('409 request_withdrawn');
    const over = await asked();
    stage.nowMs += 24 * 3_600_000 - 1000;
    await stage.signIn('alice3', USERS.alice);
    await stage.signIn('bob3', USERS.bob);
    stage.nowMs += 1000;
    expect(await problem(requests.approve(await stage.caller('bob3'), over))).toBe('409 request_expired');
  });

  it('of a store that fails gives nothing, and the same approval is possible afterwards', async () => {
    const id = await asked();
    const begin = stage.store.access.begin.bind(stage.store.access);
    const access = stage.access();
    stage.store.access.begin = () => Promise.reject(new Error('cut'));
    expect(await problem(access.requests.approve(await stage.caller('bob'), id))).toBe('500 internal');
    stage.store.access.begin = begin;
    expect((await stage.store.access.find(id))?.request).toMatchObject({ state: 'open', decisions: [] });
    expect(await access.requests.approve(await stage.caller('bob'), id)).toMatchObject({ state: 'granted' });
  });
});

describe('who sees what', () => {
  it('the user, approvers, admins and auditors see a request; others get the same answer as for none', async () => {
    const { requests } = stage.access();
    const id = await asked();
    for (const session of ['alice', 'bob', 'root', 'audrey']) {
      expect(await requests.find(await stage.caller(session), id), session).toMatchObject({ id });
    }
    const mallory = await stage.caller('mallory');
    for (const unknown of [id, 'nothing', '../../x', '']) {
      expect(await problem(requests.find(mallory, unknown))).toBe('404 request_not_found');
    }
    expect(await problem(requests.history(mallory, { limit: 10 }))).toBe('404 request_not_found');
    const alice = await stage.caller('alice');
    expect(await problem(requests.background(alice, await requests.find(alice, id)))).toBe('404 request_not_found');
  });

  it('an approver’s queue has what they may decide about or end, and nothing of their own', async () => {
    const { requests } = stage.access();
    const id = await asked();
    const ids = async (session: string): Promise<readonly string[]> => {
      const caller = await stage.caller(session);
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await requests.queue(caller, { limit: 1, ...(cursor === undefined ? {} : { cursor }) });
        found.push(...page.requests.map((request) => request.id));
        ({ cursor } = page);
      } while (cursor !== undefined);
      return found;
    };
    expect(await ids('bob')).toEqual([id]);
    expect(await ids('alice')).toEqual([]);
    expect(await ids('alice2')).toEqual([]);
    expect(await ids('mallory')).toEqual([]);
    expect(await ids('root')).toEqual([]);
    await requests.approve(await stage.caller('bob'), id);
    expect(await ids('bob')).toEqual([id]);
    expect(await ids('root')).toEqual([id]);
  });

  it('a role that no one may approve is offered to no one', async () => {
    const { requests } = stage.access({
      roles: [
        { ...ROLE, approval: { groups: [], count: 1 } },
        { ...ROLE, requesters: [] },
      ],
    });
    const caller = await stage.caller('alice');
    expect(requests.roles(caller)).toEqual([]);
    expect(await problem(requests.request(caller, ORDER))).toBe('404 role_not_found');
  });
});
