import { describe, expect, it } from 'vitest';
import { githubStage, rejection } from './github-stage.ts';

const on = githubStage();

describe('a callback', () => {
  it('is good once: its code is used', async () => {
    const gh = on.provider();
    const { callback, challenge } = await on.callbackOf(gh);
    await gh.finish(callback, challenge);
    expect(await rejection(gh.finish(callback, challenge))).toMatchObject({
      code: 'sign_in_expired',
      reason: 'provider_code_refused',
    });
  });

  it('with the state of another trip is refused, and its code is not even redeemed', async () => {
    const gh = on.provider();
    const [mine, theirs] = [await on.callbackOf(gh), await on.callbackOf(gh)];
    expect(await rejection(gh.finish(theirs.callback, mine.challenge))).toMatchObject({
      code: 'sign_in_expired',
      reason: 'state_mismatch',
    });
    expect(on.github.news()).toEqual([]);
  });

  it('with a code of another trip is refused by PKCE', async () => {
    const gh = on.provider();
    const [mine, theirs] = [await on.callbackOf(gh), await on.callbackOf(gh)];
    mine.callback.searchParams.set('code', theirs.callback.searchParams.get('code') ?? '');
    expect((await rejection(gh.finish(mine.callback, mine.challenge))).reason).toBe('provider_code_refused');
  });

  it.each([
    ['at another provider’s path', (url: URL) => (url.pathname = '/callback/corp'), 'callback_foreign'],
    ['at another host', (url: URL) => (url.host = 'evil.example'), 'callback_foreign'],
    ['without a state', (url: URL) => url.searchParams.delete('state'), 'state_mismatch'],
    ['with two states', (url: URL) => url.searchParams.append('state', 'x'), 'state_mismatch'],
    [
      'of a foreign issuer (RFC 9207)',
      (url: URL) => url.searchParams.set('iss', 'https://evil.example'),
      'issuer_foreign',
    ],
    ['without a code', (url: URL) => url.searchParams.delete('code'), 'provider_answer_invalid'],
    ['with two codes', (url: URL) => url.searchParams.append('code', 'x'), 'provider_answer_invalid'],
    ['of a user who declined', (url: URL) => url.searchParams.set('error', 'access_denied'), 'provider_refused'],
    ['of a suspended app', (url: URL) => url.searchParams.set('error', 'application_suspended'), 'provider_error'],
  ])('%s is refused, and nothing is redeemed', async (_name, spoil, reason) => {
    const gh = on.provider();
    const { callback, challenge } = await on.callbackOf(gh);
    spoil(callback);
    expect((await rejection(gh.finish(callback, challenge))).reason).toBe(reason);
    expect(on.github.news()).toEqual([]);
  });

  it('is an outage, and no rejection of the user, where our secret is wrong', async () => {
    const error = await rejection(on.signIn(on.provider({ clientSecret: () => 'stale' })));
    expect(error).toMatchObject({
      code: 'provider_unavailable',
      reason: 'provider_client_refused',
      needsOperator: true,
    });
  });
});
