import { expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const OWN = { issuer: 'https://login.example.com' };

const withProvider = (provider: object): ReturnType<typeof settings> => ({
  ...settings(),
  providers: [{ name: 'corp', clientId: 'portcullis', ...provider }],
});

test.each([
  [OWN, 'session'],
  [{ type: 'okta', ...OWN }, 'session'],
  [{ type: 'keycloak', ...OWN }, 'session'],
  [{ ...OWN, backchannelLogout: 'account' }, 'account'],
  [{ ...OWN, backchannelLogout: 'off' }, 'off'],
  [{ type: 'google' }, 'off'],
  [{ type: 'google', backchannelLogout: 'off' }, 'off'],
  [{ type: 'entra', tenant: TENANT }, 'off'],
])('what a logout at the provider %j ends: %s', async (provider, expected) => {
  const { config } = await loaded(withProvider(provider));
  expect(config.providers[0]?.backchannelLogout).toBe(expected);
});

test.each([
  ['anything else', { ...OWN, backchannelLogout: 'everything' }],
  ['logouts of a type that tells of none', { type: 'entra', tenant: TENANT, backchannelLogout: 'session' }],
])('refuses %s', async (_name, provider) => {
  expect(await placesOf(withProvider(provider))).toEqual(['providers[0].backchannelLogout']);
});
