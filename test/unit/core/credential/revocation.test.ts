import { createHash } from 'node:crypto';
import { assert, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accountKey, coveringKeys, sessionKey, targetKey } from '../../../../src/core/credential/revocation.ts';

describe('the key of a target', () => {
  it.each([
    [{ kind: 'session', session: 's1' }, /^session:[\w-]{22}$/],
    [{ kind: 'account', account: 'corp/alice' }, /^account:[\w-]{22}$/],
    [{ kind: 'provider', provider: 'corp' }, /^provider:corp$/],
    [{ kind: 'all' }, /^all$/],
  ] as const)('%j is a kind with a digest of 128 bits, or a name', (target, form) => {
    expect(targetKey(target)).toMatch(form);
  });

  it('is the one under which a credential is covered', () => {
    const keys = coveringKeys({ session: 's1', account: 'corp/alice', provider: 'corp' });
    expect(keys).toEqual({
      session: targetKey({ kind: 'session', session: 's1' }),
      account: targetKey({ kind: 'account', account: 'corp/alice' }),
      provider: targetKey({ kind: 'provider', provider: 'corp' }),
    });
  });

  it('begins SHA-256, so that who reads a dump can do nothing with it but confirm a guess', () => {
    const whole = createHash('sha256').update('s1').digest('base64url');
    expect(whole.startsWith(sessionKey('s1').slice('session:'.length, -1))).toBe(true);
  });

  it('differs where what it stands for differs', () => {
    assert(
      property(string(), string(), (one, other) => {
        expect(accountKey(`corp/${one}`) === accountKey(`corp/${other}`)).toBe(one === other);
      }),
    );
  });
});
