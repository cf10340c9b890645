import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SessionRecord } from '../../../../src/store/store.ts';
import { problem, ROLE, Stage, USERS } from './stage.ts';

const ORDER = { role: 'shop-admins', seconds: 600, reason: 'INC-4711' };
const TWO = { roles: [{ ...ROLE, approval: { groups: ['corp:leads'], count: 2 } }] };

let stage: Stage;
let id: string;
/** Alice has asked, and dave has given the first of two approvals; the events so far are forgotten. */
beforeEach(async () => {
  stage = new Stage();
  await stage.start();
  const { requests } = stage.access(TWO);
  ({ id } = await requests.request(await stage.caller('alice'), ORDER));
  await requests.approve(await stage.caller('dave'), id);
  stage.events();
});
afterEach(() => stage.guard.stop());

const stored = async () => (await stage.store.access.find(id))?.request;

async function recordOf(session: string): Promise<SessionRecord> {
  const record = await stage.store.sessions.read(session);
  if (record === undefined) throw new Error(`${session} has no session`);
  return record;
}

const revoke = (target: Parameters<typeof stage.guard.revoke>[0]['target']) => stage.guard.revoke({ target });

interface Row {
  readonly what: string;
  readonly lapsed: string;
  readonly happens: () => Promise<unknown>;
  /** Anyone who looks at the store alone does not know it. */
  readonly saysProvider?: true;
}
const rows: readonly Row[] = [
  {
    what: 'its session was revoked',
    lapsed: 'session',
    happens: () => revoke({ kind: 'session', session: 'dave' }),
  },
  {
    what: 'its account was revoked, and its user has signed in again',
    lapsed: 'session',
    happens: async () => {
      await revoke({ kind: 'account', account: 'corp/dave' });
      stage.nowMs += 120_000;
      await stage.signIn('dave again', USERS.dave, { account: 'corp/dave', knownAs: ['dave@example.com'] });
    },
  },
  {
    what: 'its account is locked',
    lapsed: 'locked',
    happens: () =>
      stage.guard.revoke({
        target: { kind: 'account', account: 'corp/dave' },
        lock: { by: 'root', reason: 'stolen laptop', at: stage.seconds },
      }),
  },
  {
    what: 'its user has left the group',
    lapsed: 'group',
    happens: async () => {
      const { identity } = await recordOf('dave');
      await stage.store.sessions.update('dave', { identity: { ...identity, groups: [] }, secret: {} });
    },
  },
  {
    what: 'its user has left the company',
    lapsed: 'session',
    happens: async () => stage.provider.set('dave', 'refused'),
    saysProvider: true,
  },
  {
    what: 'its provider cannot be asked again',
    lapsed: 'unconfirmed',
    happens: async () => {
      stage.nowMs += 400_000;
      for (const session of ['alice', 'bob']) {
        await stage.store.sessions.update(session, { identity: (await recordOf(session)).identity, secret: {} });
      }
    },
    saysProvider: true,
  },
];

describe('an approval counts no longer where', () => {
  it.each(rows)('$what: the next one does not begin the grant', async ({ lapsed, happens }) => {
    await happens();
    const open = await stage.access(TWO).requests.approve(await stage.caller('bob'), id);
    expect(open).toMatchObject({
      state: 'open',
      decisions: [{ account: 'corp/dave', lapsed }, { account: 'corp/bob' }],
    });
    expect(open.decisions[1]?.lapsed).toBeUndefined();
    expect(stage.audited.map(({ annotations }) => annotations)).toMatchObject([
      {
        'portcullis.dev/event': 'access-approval-lapsed',
        'portcullis.dev/account': 'corp/dave',
        'portcullis.dev/session': 'dave',
        'portcullis.dev/grant-id': id,
        'portcullis.dev/reason': lapsed,
        'portcullis.dev/asked-by-account': 'corp/alice',
      },
      { 'portcullis.dev/event': 'access-approved', 'portcullis.dev/approvals': '1/2' },
    ]);
    expect((await recordOf('alice')).grants).toBeUndefined();
  });

  it.each(rows.filter(({ saysProvider }) => saysProvider === undefined))(
    '$what: those who look at the request see it, and one replica audits it',
    async ({ lapsed, happens }) => {
      await happens();
      await Promise.all([stage.access(TWO).endings.check(), stage.access(TWO).endings.check()]);
      expect(await stored()).toMatchObject({ state: 'open', decisions: [{ account: 'corp/dave', lapsed }] });
      expect(stage.events()).toEqual([`access-approval-lapsed 200 ${lapsed}`]);
    },
  );
});

it('an approval of a version that did not say which session gave it counts no longer', async () => {
  const found = await stage.store.access.find(id);
  if (found === undefined) throw new Error('no request');
  const decisions = found.request.decisions.map(({ session: _session, ...decision }) => decision);
  await stage.store.access.change(found, { ...found.request, decisions });
  expect(await stage.access(TWO).requests.approve(await stage.caller('bob'), id)).toMatchObject({ state: 'open' });
});

it('where the provider of an earlier approver does not answer, nothing is decided', async () => {
  stage.provider.set('dave', 'away');
  const { requests } = stage.access(TWO);
  expect(await problem(requests.approve(await stage.caller('bob'), id))).toBe('502 provider_unavailable');
  stage.provider.clear();
  expect(await requests.approve(await stage.caller('bob'), id)).toMatchObject({ state: 'granted' });
});

it('an approver who is revoked while the last one decides is seen by the same write', async () => {
  const { access } = stage.store;
  const begin = access.begin.bind(access);
  access.begin = async (...given) => {
    access.begin = begin;
    await revoke({ kind: 'session', session: 'dave' });
    return await begin(...given);
  };
  const open = await stage.access(TWO).requests.approve(await stage.caller('bob'), id);
  expect(open).toMatchObject({ state: 'open', decisions: [{ lapsed: 'session' }, { account: 'corp/bob' }] });
});

// The requester has had their address entered at the other provider since.
it('an approver who has the address of the requester by now is the requester', async () => {
  await stage.signIn('bob2', { groups: ['corp:leads'], provider: 'other', knownAs: ['bob2@example.com'] });
  const { identity } = await recordOf('bob2');
  await stage.store.sessions.update('bob2', { identity, knownAs: ['alice@example.com'], secret: {} });
  const { requests } = stage.access(TWO);
  expect(await problem(requests.approve(await stage.caller('bob2'), id))).toBe('403 own_request');
});

it('an approval that counts no longer can be given again', async () => {
  await revoke({ kind: 'session', session: 'dave' });
  const { requests, endings } = stage.access(TWO);
  await endings.check();
  stage.nowMs += 120_000;
  await stage.signIn('dave again', USERS.dave, { account: 'corp/dave', knownAs: ['dave@example.com'] });
  const dave = await stage.caller('dave again');
  const request = await requests.find(dave, id);
  expect(requests.may(dave, request)).toEqual(['approve', 'deny']);
  await requests.approve(dave, id);
  expect(requests.may(dave, await requests.find(dave, id))).toEqual(['deny']);
  expect(await requests.approve(await stage.caller('bob'), id)).toMatchObject({ state: 'granted' });
  expect(stage.notices.map((notice) => notice.kind)).toEqual(['requested', 'approved', 'approved', 'granted']);
  expect(stage.events().filter((event) => event.startsWith('access-approval-lapsed'))).toHaveLength(1);
});
