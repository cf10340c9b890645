import * as oidc from 'openid-client';
import { expect, test } from 'vitest';
import { readErrorResponse } from '../../../src/idp/provider-response.ts';

const SECRET = "a~b c!d'(zz)%9+8";

/** Attack: a provider that was taken over repeats what it was sent, for anyone who reads our log or sees the probe's report. */
test.each([
  ['as it is', SECRET],
  ['as in a URL', encodeURIComponent(SECRET)],
  ['as in a form, and in the header', new URLSearchParams({ '': SECRET }).toString().slice(1)],
  ['the same in small letters', new URLSearchParams({ '': SECRET }).toString().slice(1).toLowerCase()],
  ['in Base64', btoa(SECRET)],
  ['half decoded', SECRET.replaceAll(' ', '+')],
])('a secret that a provider repeats %s is taken out', async (_name, sent) => {
  const callback = new URL('https://portcullis.example/callback');
  callback.search = new URLSearchParams({ error: 'access_denied', error_description: `bad: ${sent}.` }).toString();
  const thrown = new oidc.AuthorizationResponseError('refused', { cause: callback.searchParams });
  expect(await readErrorResponse(thrown, [SECRET])).toMatchObject({
    error: 'access_denied',
    error_description: 'bad: ….',
  });
});
