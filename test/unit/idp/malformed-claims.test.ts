import { beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import type { IdentityProvider, ProviderSignIn } from '../../../src/idp/idp.ts';
import { toleratingMalformedClaims } from '../../../src/idp/malformed-claims.ts';

const GRACE_MS = 900_000;

describe('claims of a wrong shape at a re-check', () => {
  let now: number;
  let corp: IdentityProvider;
  /** Why a user is rejected, by subject. */
  let rejected: Map<string, string>;

  beforeEach(() => {
    now = Date.UTC(2030, 0, 1);
    rejected = new Map([['alice', 'groups_not_strings']]);
    const signIn = async (subject: string): Promise<ProviderSignIn> => {
      const reason = rejected.get(subject);
      if (reason !== undefined) throw new AppError('sign_in_refused', 'no', { reason });
      return { subject, identity: { username: subject, uid: subject, groups: [], extra: {} } };
    };
    const provider: IdentityProvider = {
      name: 'corp',
      provesFreshness: true,
      begin: () => Promise.reject(new Error('not here')),
      finish: ({ hash }) => signIn(hash.slice(1)),
      recheck: signIn,
    };
    corp = toleratingMalformedClaims(provider, { clock: { nowMs: () => now }, longestMs: GRACE_MS });
  });

  /** @returns `ok`, or the code and the reason */
  const recheck = (subject = 'alice'): Promise<string> =>
    corp.recheck(subject, 'rt').then(
      () => 'ok',
      ({ code, reason }: AppError) => `${code} ${reason}`,
    );
  const UNDECIDED = 'provider_unavailable groups_not_strings';
  const REJECTED = 'sign_in_refused groups_not_strings';

  it('are a failure of the provider at first, and end the user’s sessions where they are as bad after the grace', async () => {
    expect(await recheck()).toBe(UNDECIDED);
    now += GRACE_MS - 1;
    expect(await recheck()).toBe(UNDECIDED);
    now += 1;
    expect([await recheck(), await recheck()]).toEqual([REJECTED, REJECTED]);
  });

  it.each([
    ['a good re-check', () => corp.recheck('alice', 'rt')],
    ['a sign-in', () => corp.finish(new URL('https://p.example/#alice'), { state: '', nonce: '', codeVerifier: '' })],
  ])('begin again after %s', async (_name, good) => {
    await recheck();
    now += GRACE_MS;
    rejected.clear();
    await good();
    rejected.set('alice', 'groups_not_strings');
    expect(await recheck()).toBe(UNDECIDED);
  });

  it('begin again where the clock was set back', async () => {
    await recheck();
    now -= 3_600_000;
    expect(await recheck()).toBe(UNDECIDED);
    now += GRACE_MS;
    expect(await recheck()).toBe(REJECTED);
  });

  // Else a provider whose mapping is broken for a night signs everyone out.
  it('sign out five users in a row at most, until the claims of one are good', async () => {
    const users = Array.from({ length: 7 }, (_, index) => `user-${index}`);
    for (const user of users) rejected.set(user, 'groups_not_strings');
    for (const user of users) expect(await recheck(user)).toBe(UNDECIDED);
    now += GRACE_MS;
    const outcomes: string[] = [];
    for (const user of users) outcomes.push(await recheck(user), await recheck(user));
    expect(outcomes.filter((outcome) => outcome === REJECTED)).toHaveLength(10);
    expect(outcomes.slice(10)).toEqual([UNDECIDED, UNDECIDED, UNDECIDED, UNDECIDED]);
    expect(await recheck('carol')).toBe('ok');
    expect(await recheck('user-6')).toBe(REJECTED);
  });

  it.each([
    'rule_refused',
    'rule_error',
    'email_unverified',
    'groups_too_many',
    'username_reserved',
    'subject_changed',
  ])('are no reason to wait where the user is rejected by %s', async (reason) => {
    rejected.set('alice', reason);
    expect(await recheck()).toBe(`sign_in_refused ${reason}`);
  });
});
