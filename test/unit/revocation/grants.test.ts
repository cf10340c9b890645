import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { grantKey } from '../../../src/core/credential/revocation.ts';
import type { CutReason, GuardRejection, RevocationGuard } from '../../../src/revocation/revocation.ts';
import type { CheckedCredential, RevocationGuardOptions } from '../../../src/revocation/types.ts';
import { ALICE, fly, pass, replicas } from './replica-harness.ts';

const target = (grant: string) => ({ kind: 'grant', grant, session: ALICE.session }) as const;
const HOUR = 3_600_000;

describe('a grant, at the revocation guard', () => {
  let made: ReturnType<typeof replicas>;
  beforeEach(() => {
    vi.useFakeTimers();
    made = replicas();
  });
  afterEach(async () => {
    await made.stop();
    vi.useRealTimers();
  });

  const setUp = async (change: Partial<RevocationGuardOptions> = {}) => {
    const { guard } = await made.started('a', change);
    const { position } = await made.now(guard);
    /** What is made with grants until `inMs` from now. */
    const withGrants = (inMs: number, ...grants: readonly string[]): CheckedCredential => ({
      position: guard.position ?? position,
      keys: { ...ALICE.keys, grants: grants.map(grantKey) },
      grantsEndAtMs: performance.now() + inMs,
    });
    const flyWith = (inMs: number, ...grants: readonly string[]): CutReason[] =>
      granted(guard, withGrants(inMs, ...grants));
    return { guard, position, withGrants, flyWith };
  };

  it('is ended by any entry about it, for a token minted after the entry as well, and nothing else is', async () => {
    const { guard, withGrants } = await setUp();
    await made.shared.append({ requestId: 'r', target: target('g') });
    await pass(600);
    const asked: readonly (GuardRejection | undefined)[] = [
      guard.check(withGrants(HOUR, 'g')),
      guard.check(withGrants(HOUR, 'other', 'g')),
      guard.check(withGrants(HOUR, 'other')),
      guard.check(await made.now(guard)),
    ];
    expect(asked).toEqual(['grant_ended', 'grant_ended', undefined, undefined]);
  });

  it('cuts at its entry what was made with it, by a token newer than the entry too, and lets the session go on', async () => {
    const { guard, position, withGrants, flyWith } = await setUp();
    const [own, other, cuts] = [fly(guard, position), flyWith(HOUR, 'other'), flyWith(HOUR, 'other', 'g')];
    const credential = withGrants(HOUR, 'g');
    const newer = granted(guard, { ...credential, position: { ...credential.position, number: 99 } });
    await made.shared.append({ requestId: 'r', target: target('g') });
    await pass(600);
    expect([cuts, newer, own, other]).toEqual([['grant_ended'], ['grant_ended'], [], []]);
  });

  it('ends early in the tick in which it is asked for, with a receipt that counts its streams and no session', async () => {
    const { guard, position, withGrants, flyWith } = await setUp();
    const other = await made.started('b');
    const [own, cuts] = [fly(guard, position), flyWith(HOUR, 'g')];
    const there = granted(other.guard, withGrants(HOUR, 'g'));
    const revocation = guard.revoke({ target: target('g') });
    expect([guard.check(withGrants(HOUR, 'g')), cuts]).toEqual(['grant_ended', ['grant_ended']]);
    await pass(600);
    expect(await revocation).toMatchObject({ complete: true, sessions: 0, streamsClosed: 2 });
    expect([own, there]).toEqual([[], ['grant_ended']]);
  });

  it('stays ended where its end could not be written, and is held for as long as it was asked for', async () => {
    const { guard, log } = await made.started();
    const { position } = await made.now(guard);
    const credential = { position, keys: { ...ALICE.keys, grants: [grantKey('g')] }, grantsEndAtMs: HOUR };
    guard.hold(target('g'), 10);
    expect([guard.check(credential), guard.check({ ...ALICE, position })]).toEqual(['grant_ended', undefined]);
    await pass(11_000);
    expect(guard.check(credential)).toBeUndefined();
    log.append = () => Promise.reject(new Error('away'));
    await expect(guard.revoke({ target: target('g') })).rejects.toMatchObject({ reason: 'revocation_not_written' });
    await pass(1_000);
    expect(guard.check(credential)).toBe('grant_ended');
  });

  it('is over with the session, for that reason', async () => {
    const { guard, withGrants, flyWith } = await setUp();
    const before = withGrants(HOUR, 'g');
    const cuts = flyWith(HOUR, 'g');
    await made.shared.append({ requestId: 'r', target: { kind: 'session', session: ALICE.session } });
    await pass(600);
    expect([guard.check(before), cuts]).toEqual(['session_revoked', ['session_revoked']]);
  });

  it('is over at its end before any timer has run, by the monotonic clock alone', async () => {
    let stoppedForMs = 0;
    const { guard, withGrants, flyWith } = await setUp({ monotonicMs: () => performance.now() + stoppedForMs });
    const credential = withGrants(1_000, 'g');
    const cuts = flyWith(1_000, 'g');
    stoppedForMs = 999;
    expect(guard.check(credential)).toBeUndefined();
    stoppedForMs = 1_000;
    expect([guard.check(credential), cuts]).toEqual(['grant_ended', []]);
  });

  it('gives nothing without an end, or with one that is no number', async () => {
    const { guard, withGrants } = await setUp();
    const { grantsEndAtMs: _end, ...endless } = withGrants(0, 'g');
    const endings = [endless, { ...endless, grantsEndAtMs: Number.NaN }].map((each) => guard.check(each));
    expect(endings).toEqual(['grant_ended', 'grant_ended']);
  });

  it('cuts what is quiet at its end, each at its own, by one timer', async () => {
    const { guard, position, flyWith } = await setUp();
    const timers = vi.getTimerCount();
    const [late, early, long] = [flyWith(5_000, 'a'), flyWith(2_000, 'a', 'b'), flyWith(HOUR + 60_000, 'c')];
    const own = fly(guard, position);
    // That of the grants, and that of the session's end.
    expect(vi.getTimerCount()).toBe(timers + 2);
    const now = () => [late, early, long, own].map((cuts) => cuts.join());
    await pass(1_999);
    expect(now()).toEqual(['', '', '', '']);
    await pass(2);
    expect(now()).toEqual(['', 'grant_ended', '', '']);
    await pass(3_000);
    expect(now()).toEqual(['grant_ended', 'grant_ended', '', '']);
    await pass(HOUR + 60_000);
    expect(now()).toEqual(['grant_ended', 'grant_ended', 'grant_ended', '']);
  });

  it('is not asked about all the time where its end is further away than a timer can wait', async () => {
    let asked = 0;
    const { flyWith } = await setUp({
      monotonicMs: () => {
        asked += 1;
        return performance.now();
      },
    });
    flyWith(30 * 24 * HOUR, 'g');
    asked = 0;
    await pass(1_000);
    expect(asked).toBeLessThan(50);
  });

  it('cuts nothing that has closed', async () => {
    const { guard, withGrants } = await setUp();
    const cut = vi.fn<(reason: CutReason) => void>();
    const registration = guard.register({ cut });
    bind(registration, withGrants(1_000, 'g'));
    registration.close();
    await pass(2_000);
    expect(cut).not.toHaveBeenCalled();
  });
});

/** A flight that is made with grants. @returns the reasons for which it was cut */
function granted(guard: RevocationGuard, credential: CheckedCredential): CutReason[] {
  const cuts: CutReason[] = [];
  const registration = guard.register({
    cut: (reason) => {
      cuts.push(reason);
      registration.close();
    },
  });
  bind(registration, credential);
  return cuts;
}

function bind(registration: ReturnType<RevocationGuard['register']>, credential: CheckedCredential): void {
  const claims = { tokenId: '', audience: '', client: '', issuedAt: 0, expiresAt: 0 };
  const end = Date.now() / 1000 + 365 * 86_400;
  registration.bind({ ...ALICE, ...claims, ...credential }, { expiresAt: end, idleAt: end });
}
