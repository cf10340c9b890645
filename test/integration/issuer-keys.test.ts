import { exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createIssuerKeys } from '../../src/idp/issuer-keys.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../support/workload-issuer.ts';

const DISCOVERY = '/.well-known/openid-configuration';

describe('the keys of an issuer of which we are not a client', () => {
  let issuer: WorkloadIssuer;
  let now: number;

  beforeEach(async () => {
    now = Date.now();
    issuer = await startWorkloadIssuer('https://portcullis.example.com');
  });
  afterEach(() => issuer.close());

  const keysOf = (options: { readonly issuer?: string; readonly ca?: () => string } = {}) =>
    createIssuerKeys({
      issuer: issuer.issuer,
      ca: () => issuer.ca,
      hosts: [],
      ...options,
      clock: { nowMs: () => now },
    });
  const verify = async (keys: ReturnType<typeof keysOf>, token?: string): Promise<string> =>
    jwtVerify(token ?? (await issuer.token()), keys).then(
      () => 'verified',
      (error: { readonly reason?: string; readonly code?: string }) => String(error.reason ?? error.code),
    );

  it('are fetched by discovery, once for many tokens', async () => {
    const keys = keysOf();
    expect([await verify(keys), await verify(keys)]).toEqual(['verified', 'verified']);
    expect(issuer.asked).toEqual([DISCOVERY, '/jwks']);
  });

  it.each([
    ['names another issuer', { issuer: 'https://evil.example' }],
    ['has its keys on a host that is not the issuer’s', { jwks_uri: 'https://evil.example/jwks' }],
    ['has its keys at a cloud’s metadata service', { jwks_uri: 'http://169.254.169.254/jwks' }],
    ['has no keys', { jwks_uri: undefined }],
  ])('are not read where its discovery document %s', async (_name, change) => {
    issuer.documents.set(DISCOVERY, { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/jwks`, ...change });
    expect(await verify(keysOf())).toBe('issuer_keys_unavailable');
    expect(issuer.asked).toEqual([DISCOVERY]);
  });

  it('are not read where its certificate is not trusted, or its address is not allowed for a provider', async () => {
    const { ca: _left, ...trusting } = { issuer: issuer.issuer, ca: '', hosts: [], clock: { nowMs: () => now } };
    expect(await verify(createIssuerKeys(trusting))).toBe('issuer_keys_unavailable');
    expect(await verify(keysOf({ issuer: 'https://169.254.169.254' }))).toBe('issuer_keys_unavailable');
    expect(issuer.asked).toEqual([]);
  });

  it('are not requested from a failing issuer for ten seconds, whichever caller needs them', async () => {
    issuer.down = true;
    const keys = keysOf();
    expect([await verify(keys), await verify(keys)]).toEqual(['issuer_keys_unavailable', 'issuer_keys_unavailable']);
    expect(issuer.asked).toEqual([DISCOVERY]);
    issuer.down = false;
    expect(await verify(keys)).toBe('issuer_keys_unavailable');
    now += 10_001;
    expect(await verify(keys)).toBe('verified');
  });

  it.each([
    ['its old address has the old ones still', true],
    ['its old address is gone', false],
  ])('are read at their new address at once, where %s', async (_name, stays) => {
    const keys = keysOf();
    expect(await verify(keys)).toBe('verified');
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    issuer.documents.set('/v2/jwks', { keys: [{ ...(await exportJWK(publicKey)), kid: 'k2' }] });
    issuer.documents.set(DISCOVERY, { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/v2/jwks` });
    if (!stays) issuer.documents.delete('/jwks');
    const token = await issuer.token({}, { header: { alg: 'ES256', kid: 'k2' }, key: privateKey });
    await expect(jwtVerify(token, keys)).resolves.toMatchObject({ payload: { iss: issuer.issuer } });
  });

  it('are read again once in half a minute because of invented ones, and stay while that fails', async () => {
    const invented = async (): Promise<string> => verify(keys, await issuer.token({}, { header: { kid: 'invented' } }));
    const keys = keysOf();
    expect(await verify(keys)).toBe('verified');
    issuer.down = true;
    expect(await invented()).toBe('issuer_keys_unavailable');
    expect(await verify(keys)).toBe('verified');
    issuer.down = false;
    issuer.asked.length = 0;
    for (let count = 0; count < 3; count += 1) expect(await invented()).toBe('ERR_JWKS_NO_MATCHING_KEY');
    expect(issuer.asked).toEqual([]);
    now += 30_000;
    for (let count = 0; count < 3; count += 1) expect(await invented()).toBe('ERR_JWKS_NO_MATCHING_KEY');
    expect(issuer.asked).toEqual([DISCOVERY, '/jwks']);
  });

  it('are not delayed longer where the clock is set back meanwhile, nor is the discovery document cached for longer', async () => {
    issuer.down = true;
    const keys = keysOf();
    expect(await verify(keys)).toBe('issuer_keys_unavailable');
    issuer.down = false;
    now -= 3_600_000;
    expect(await verify(keys)).toBe('verified');
    now -= 3_600_000;
    expect(await verify(keys)).toBe('verified');
    expect(issuer.asked).toEqual([DISCOVERY, DISCOVERY, '/jwks', DISCOVERY, '/jwks']);
  });
});
