import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

describe('a provider that treats a second use of a refresh token as theft', () => {
  let idp: VendorIdp;
  let corp: IdentityProvider;
  let now: number;

  beforeEach(async () => {
    idp = await startVendorIdp({ scopes: ['openid', 'offline_access'], claims: { preferred_username: 'alice' } });
    now = Date.now();
    corp = vendor(idp.issuer, { type: 'keycloak' }, { clock: { nowMs: () => now } });
  });
  afterEach(() => idp.close());

  it.each([
    ['cannot be read', 'down'],
    ['are lost on the way', 'lost'],
  ] as const)(
    'is asked with the newest one after its keys %s, so that the ID token next to it is not valid',
    async (_name, keys) => {
      const user = await signIn(idp, corp);
      let held = user.refreshToken ?? '';
      const keep = async (newest: string): Promise<void> => void (held = newest);
      now += 60_000;
      idp.keys = keys;
      for (let count = 0; count < 2; count += 1) {
        expect(await rejection(corp.recheck(user.subject, held, keep))).toMatchObject({
          code: 'provider_unavailable',
        });
      }
      expect(held).not.toBe(user.refreshToken);
      idp.keys = 'there';
      await expect(corp.recheck(user.subject, held, keep)).resolves.toMatchObject({ subject: user.subject });
    },
  );

  it('is asked with the newest one where that came with such an ID token and could not be stored either', async () => {
    const user = await signIn(idp, corp);
    const held = user.refreshToken ?? '';
    now += 60_000;
    idp.keys = 'down';
    await rejection(corp.recheck(user.subject, held, () => Promise.reject(new Error('the store is unavailable'))));
    idp.keys = 'there';
    await expect(corp.recheck(user.subject, held)).resolves.toMatchObject({ subject: user.subject });
  });
});
