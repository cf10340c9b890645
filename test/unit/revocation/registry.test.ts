import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Credential } from '../../../src/core/credential/credential.ts';
import type { RecentRequest } from '../../../src/core/audit/recent-request.ts';
import { accountKey, coveringKeys, providerKey, sessionKey } from '../../../src/core/credential/revocation.ts';
import type { CoveringKeys, TargetKey } from '../../../src/core/credential/revocation.ts';
import { FlightRegistry } from '../../../src/revocation/registry.ts';
import type { CutReason } from '../../../src/revocation/revocation.ts';

const ownerOf = (session: string) => ({ session, account: `corp/${session[0] ?? ''}`, provider: 'corp' }) as const;
const keysOf = (session: string): CoveringKeys => coveringKeys(ownerOf(session));

const credential = (session: string, number = 0): Credential => ({
  ...ownerOf(session),
  keys: keysOf(session),
  tokenId: 'j',
  audience: 'a',
  client: 'c',
  issuedAt: 0,
  expiresAt: 300,
  position: { epoch: 'e', number },
});

const FAR = 10_000_000_000;

describe('the registry of what is in flight', () => {
  const setUp = () => {
    let now = 0;
    const emptied: TargetKey[] = [];
    const bound: [string, number][] = [];
    let done = 0;
    const registry = new FlightRegistry({
      monotonicMs: () => now,
      bound: ({ session }, { expiresAt }) => void bound.push([session, expiresAt]),
      empty: (session) => void emptied.push(session),
      allCut: () => void (done += 1),
    });
    const cuts: [string, CutReason][] = [];
    const fly = (name: string, owner?: Credential, stream?: RecentRequest) => {
      const cut = (reason: CutReason) => void cuts.push([name, reason]);
      const registration = registry.register({ cut, stream: () => stream });
      if (owner !== undefined) registration.bind(owner, { expiresAt: FAR, idleAt: FAR });
      return registration;
    };
    return { registry, cuts, fly, emptied, bound, done: () => done, advance: (ms: number) => void (now += ms) };
  };

  it('cuts what a target covers and nothing else', () => {
    const { registry, cuts, fly } = setUp();
    fly('a1', credential('a1'));
    fly('a2', credential('a2'));
    fly('b1', credential('b1'));
    expect(registry.cut(sessionKey('a1'), 'session_revoked')).toBe(1);
    expect(registry.cut(accountKey('corp/a'), 'session_revoked')).toBe(1);
    expect(cuts.map(([name]) => name)).toEqual(['a1', 'a2']);
    expect(registry.cut(providerKey('corp'), 'session_revoked')).toBe(1);
    expect(registry.cutTotal).toBe(3);
  });

  it('knows the open streams of an account, and cuts the one that is asked for', () => {
    const { registry, cuts, fly } = setUp();
    const stream = (at: number, auditId: string) => ({ at, auditId }) as RecentRequest;
    fly('ordinary', credential('a1'));
    fly('a1', credential('a1'), stream(1, 'one'));
    fly('a2', credential('a2'), stream(2, 'two'));
    fly('b1', credential('b1'), stream(3, 'three'));
    const ofA = () => registry.streams(accountKey('corp/a')).map(({ session, request }) => [session, request.auditId]);
    expect(ofA()).toEqual([
      ['a2', 'two'],
      ['a1', 'one'],
    ]);
    expect(registry.cutStream(accountKey('corp/a'), 'three')).toBe(false);
    expect(registry.cutStream(accountKey('corp/a'), 'one')).toBe(true);
    expect(registry.cutStream(accountKey('corp/a'), 'one')).toBe(false);
    expect(cuts).toEqual([['a1', 'cut_by_admin']]);
    expect(ofA()).toEqual([['a2', 'two']]);
  });

  it('cuts a delegated session with each one above it, and counts its flights as its own alone', () => {
    const { registry, cuts, fly, emptied } = setUp();
    const beneath = (session: string, ...ancestors: readonly string[]): Credential => ({
      ...credential(session),
      ancestors,
      keys: coveringKeys({ ...ownerOf(session), ancestors }),
    });
    const child = fly('a2', beneath('a2', 'a1'));
    const own = fly('a1', credential('a1'));
    const grandchild = fly('a3', beneath('a3', 'a1', 'a2'));
    const here = () => registry.sessions().map((one) => [one.session, one.own, one.flights]);
    expect(here()).toEqual([
      ['a2', 'a1', 1],
      ['a1', 'a1', 1],
      ['a3', 'a1', 1],
    ]);
    own.close();
    expect(emptied).toEqual([sessionKey('a1')]);
    expect(registry.cut(sessionKey('a3'), 'session_revoked')).toBe(1);
    expect(registry.cut(sessionKey('a1'), 'session_revoked')).toBe(1);
    expect(cuts.map(([name]) => name)).toEqual(['a3', 'a2']);
    grandchild.close();
    child.close();
    expect(emptied).toEqual(['a1', 'a3', 'a2'].map(sessionKey));
    expect(here()).toEqual([]);
  });

  it.each(['session_revoked', 'session_expired', 'fenced'] as const)(
    'lets each flight of a turn tell its client why before the first is reset: %s',
    (reason) => {
      const { registry } = setUp();
      const order: string[] = [];
      for (const name of ['one', 'two', 'three']) {
        const flight = { announce: () => void order.push(`tell ${name}`), cut: () => void order.push(`cut ${name}`) };
        registry.register(flight).bind(credential('a1'), { expiresAt: FAR, idleAt: FAR });
      }
      if (reason === 'fenced') registry.cutAll(reason);
      else registry.cut(sessionKey('a1'), reason);
      expect(order.slice(0, 3).toSorted()).toEqual(['tell one', 'tell three', 'tell two']);
      expect(order.slice(3).toSorted()).toEqual(['cut one', 'cut three', 'cut two']);
    },
  );

  it('does not cut a credential minted after the entry', () => {
    const { registry, cuts, fly } = setUp();
    fly('before', credential('a1', 4));
    fly('after', credential('a1', 5));
    registry.cut(sessionKey('a1'), 'session_revoked', 5);
    expect(cuts).toEqual([['before', 'session_revoked']]);
  });

  it('cuts what has no credential yet only when everything is cut', () => {
    const { registry, cuts, fly } = setUp();
    const unbound = fly('unbound');
    registry.cut('all', 'session_revoked');
    expect(cuts).toEqual([]);
    registry.cutAll('fenced');
    expect(cuts).toEqual([['unbound', 'fenced']]);
    expect(unbound.cutReason).toBe('fenced');
  });

  it('cuts a flight once, and goes on after one that throws', () => {
    const { registry, cuts, fly } = setUp();
    registry.register({
      cut: () => {
        throw new Error('broken');
      },
    });
    fly('b', credential('b1'));
    expect(registry.cutAll('fenced')).toBe(2);
    expect(registry.cutAll('fenced')).toBe(0);
    expect(cuts).toEqual([['b', 'fenced']]);
  });

  it('marks a large revocation immediately and makes its resets in some turns, except for what closes by itself', async () => {
    const { registry, cuts, fly, done } = setUp();
    const flights = Array.from({ length: 120 }, (_each, index) => fly(String(index), credential('a1')));
    expect(registry.cut(accountKey('corp/a'), 'session_revoked')).toBe(120);
    expect(flights.every(({ cutReason }) => cutReason === 'session_revoked')).toBe(true);
    expect(cuts).toHaveLength(50);
    expect(registry.sessions()).toEqual([]);
    flights[119]?.close();
    await nextTurn();
    expect([cuts.length, registry.isCutting, done()]).toEqual([100, true, 0]);
    await nextTurn();
    expect([cuts.length, registry.isCutting, done()]).toEqual([119, false, 1]);
    expect(cuts.map(([name]) => name)).not.toContain('119');
  });

  it('resets all that is left in the turn of a fence, and every cut but a revocation in its own turn', async () => {
    const { registry, cuts, fly, done } = setUp();
    const open = () => Array.from({ length: 120 }, () => fly('stream', credential('a1')));
    open();
    registry.cut(sessionKey('a1'), 'session_revoked');
    fly('another', credential('b1'));
    registry.cutAll('fenced');
    const revoked = Array.from({ length: 120 }, () => ['stream', 'session_revoked']);
    expect(cuts).toEqual([...revoked, ['another', 'fenced']]);
    await nextTurn();
    await nextTurn();
    expect([cuts.length, done()]).toEqual([121, 0]);
    open();
    registry.cut(sessionKey('a1'), 'session_expired');
    expect(cuts).toHaveLength(241);
  });

  it('does not cut what has closed, and closing twice is harmless', () => {
    const { registry, cuts, fly } = setUp();
    const flight = fly('a', credential('a1'));
    flight.close();
    flight.close();
    registry.cutAll('fenced');
    registry.cut(sessionKey('a1'), 'session_revoked');
    expect(cuts).toEqual([]);
    expect(registry.size).toBe(0);
  });

  it('binds nothing that has closed or was cut meanwhile, and nothing twice', () => {
    const { registry, fly, bound, emptied } = setUp();
    const [closed, cut, open] = [fly('closed'), fly('cut'), fly('open', credential('a1'))];
    closed.close();
    registry.cutAll('fenced');
    for (const late of [closed, cut]) late.bind(credential('b1'), { expiresAt: FAR, idleAt: FAR });
    expect(bound).toEqual([['a1', FAR]]);
    cut.close();
    open.close();
    expect([emptied, registry.size]).toEqual([[sessionKey('a1')], 0]);
    const twice = fly('twice', credential('a1'));
    expect(() => twice.bind(credential('b1'), { expiresAt: FAR, idleAt: FAR })).toThrow('bound once');
  });

  it('lists the sessions that have something in flight, and since when, and forgets them with the last flight', () => {
    const { registry, fly, emptied, advance } = setUp();
    const first = fly('a1', credential('a1'));
    advance(100);
    const second = fly('a1 again', credential('a1'));
    fly('unbound');
    expect(registry.sessions()).toEqual([{ session: 'a1', own: 'a1', keys: keysOf('a1'), flights: 2, sinceMs: 0 }]);
    first.close();
    expect(registry.sessions()).toMatchObject([{ flights: 1, sinceMs: 100 }]);
    expect(emptied).toEqual([]);
    registry.cut(sessionKey('a1'), 'recheck_overdue');
    expect(registry.sessions()).toEqual([]);
    second.close();
    expect(emptied).toEqual([sessionKey('a1')]);
  });
});
