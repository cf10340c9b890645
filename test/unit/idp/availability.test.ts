import { expect, it } from 'vitest';
import { AppError, type ErrorCode } from '../../../src/core/errors.ts';
import { withAvailabilityReports } from '../../../src/idp/availability.ts';
import { FailedCheck } from '../../../src/idp/failed-check.ts';
import type { IdentityProvider, ProviderSignIn } from '../../../src/idp/idp.ts';
import { ProviderErrorResponse } from '../../../src/idp/provider-response.ts';

const USER: ProviderSignIn = {
  subject: 's',
  identity: { username: 'alice', uid: 'corp/s', groups: [], extra: {} },
};
const CHALLENGE = { state: 's', nonce: 'n', codeVerifier: 'v' };

/** A provider that always fails as told, or always answers. */
function provider(code?: ErrorCode): IdentityProvider {
  const answer = async <T>(value: T): Promise<T> => {
    if (code !== undefined) throw new AppError(code, 'no');
    return value;
  };
  return {
    name: 'corp',
    provesFreshness: true,
    begin: () => answer({ challenge: CHALLENGE, url: new URL('https://idp.example.com') }),
    finish: () => answer(USER),
    recheck: () => answer(USER),
  };
}

async function noted(code: ErrorCode | undefined, ask: (of: IdentityProvider) => Promise<unknown>): Promise<boolean[]> {
  const notes: boolean[] = [];
  const outcome = await ask(withAvailabilityReports(provider(code), (answered) => notes.push(answered))).then(
    () => undefined,
    (error: unknown) => (error instanceof AppError ? error.code : 'another error'),
  );
  expect(outcome, 'the error is not touched').toBe(code);
  return notes;
}

const callback = new URL('https://portcullis.example.com/callback/corp?error=access_denied');

it.each<[string, ErrorCode | undefined, boolean[], boolean[], boolean[]]>([
  ['answers', undefined, [], [true], [true]],
  ['is unavailable', 'provider_unavailable', [false], [false], [false]],
  // Any client can bring an error to the callback; a rejected re-check is a response of the provider.
  ['refuses', 'sign_in_refused', [], [], [true]],
  ['is not to blame', 'internal', [], [], []],
])('notes of a provider that %s', async (_name, code, begin, finish, recheck) => {
  expect(await noted(code, (of) => of.begin())).toEqual(begin);
  expect(await noted(code, (of) => of.finish(callback, CHALLENGE))).toEqual(finish);
  expect(await noted(code, (of) => of.recheck('s', 'refresh'))).toEqual(recheck);
});

it.each([
  ['provider_error', new ProviderErrorResponse({ error: 'server_error' })],
  ['issuer_foreign', new FailedCheck('issuer_foreign', 'iss')],
])(
  'notes nothing of %s that a browser brings to the callback: the provider need not have sent it',
  async (reason, cause) => {
    const forged: IdentityProvider = {
      ...provider(),
      finish: () => Promise.reject(new AppError('provider_unavailable', 'no', { reason, cause })),
    };
    const notes: boolean[] = [];
    const asked = withAvailabilityReports(forged, (answered) => notes.push(answered)).finish(callback, CHALLENGE);
    await expect(asked).rejects.toMatchObject({ reason });
    expect(notes).toEqual([]);
  },
);

// A user with such claims would have the provider reported as down for all.
it.each(['groups_not_strings', 'auth_time_malformed'])('notes an answer where a user has %s', async (reason) => {
  const malformed: IdentityProvider = {
    ...provider(),
    recheck: () => Promise.reject(new AppError('provider_unavailable', 'no', { reason })),
  };
  const notes: boolean[] = [];
  const asked = withAvailabilityReports(malformed, (answered) => notes.push(answered)).recheck('s', 'refresh');
  await expect(asked).rejects.toMatchObject({ reason });
  expect(notes).toEqual([true]);
});
