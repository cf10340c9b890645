/** Clients without a secret: a signed assertion, a client certificate, or only PKCE, at a sign-in and at a refresh. */
import { createHash, X509Certificate } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { certifiedSigningKey } from '../../src/config/client-key.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { newCertificate, newClientCertificates, newKey, type KeyKind } from '../support/client-keys.ts';
import { SUBJECT, type ClientTraits } from '../support/client-switches.ts';
import { signInAndRefresh, startClientAuthStage, type ClientAuthStage } from '../support/client-auth-stage.ts';
import { startVendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

const PATIENCE = { timeout: 20_000, interval: 50 };
const CLIENT_REFUSED = { code: 'provider_unavailable', reason: 'provider_client_refused' };
const EVERY = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'] as const;

describe('private_key_jwt', () => {
  const settings = { clientAuth: 'private_key_jwt', clientKeyFile: 'client.key' };
  const assertions = ({ idp }: ClientAuthStage): readonly string[] =>
    idp.tokenRequests.map(({ form }) => form.get('client_assertion') ?? '');
  const signing = (keys: NonNullable<ClientTraits['keys']>): ClientTraits => ({
    method: 'private_key_jwt',
    lists: EVERY,
    keys,
  });

  const rows: readonly [string, KeyKind, 'pem' | { readonly alg?: string; readonly kid?: string }, string][] = [
    ['EC in PEM', 'ec', 'pem', 'ES256'],
    ['RSA in PEM', 'rsa', 'pem', 'RS256'],
    ['Ed25519 in PEM', 'ed25519', 'pem', 'EdDSA'],
    ['EC as a JWK with an id', 'ec', { kid: 'k1' }, 'ES256'],
    ['RSA as a JWK for PS256', 'rsa', { alg: 'PS256', kid: 'k1' }, 'PS256'],
  ];
  it.each(rows)('signs a user in and refreshes the user: %s', async (_name, kind, form, alg) => {
    const { pem, jwk, privateJwk } = newKey(kind);
    const { kid } = form === 'pem' ? {} : form;
    const file = form === 'pem' ? pem : JSON.stringify({ ...privateJwk, ...form });
    const client = signing([{ ...jwk, kty: jwk.kty ?? '', use: 'sig', ...(kid === undefined ? {} : { kid }) }]);
    const stage = await startClientAuthStage({ client, settings, files: { 'client.key': file } });
    expect(await signInAndRefresh(stage)).toMatchObject({ identity: { username: 'corp:alice' } });
    const [first = '', second = ''] = assertions(stage);
    expect(decodeProtectedHeader(first)).toEqual({ alg, ...(kid === undefined ? {} : { kid }) });
    const claims = decodeJwt(first);
    // The assertion is for this provider only, for a minute, and for one use.
    expect(claims).toMatchObject({ iss: 'portcullis', sub: 'portcullis' });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBeLessThanOrEqual(60);
    expect(claims.jti).not.toBe(decodeJwt(second).jti);
    expect(
      stage.idp.tokenRequests.every((each) => each.authorization === undefined && !each.form.has('client_secret')),
    ).toBe(true);
  });

  it.each([
    ['keycloak', 'issuer'],
    ['oidc', 'issuer'],
    ['okta', 'token_endpoint'],
  ])(
    'has the issuer as its audience, except for a vendor that requires the token endpoint: %s',
    async (type, audience) => {
      const { pem, jwk } = newKey('ec');
      const client = signing([{ ...jwk, kty: 'EC' }]);
      const more = { ...settings, type, username: 'claims.preferred_username' };
      const stage = await startClientAuthStage({ client, settings: more, files: { 'client.key': pem } });
      await signIn(stage.idp, stage.provider);
      const { issuer } = stage.idp;
      expect(decodeJwt(assertions(stage)[0] ?? '').aud).toBe(audience === 'issuer' ? issuer : `${issuer}/token`);
    },
  );

  it('names the certificate that is registered at the provider, if there is one', async () => {
    const { cert, key } = await newCertificate(SUBJECT);
    const certificate = new X509Certificate(cert);
    const jwk = certificate.publicKey.export({ format: 'jwk' });
    const stage = await startClientAuthStage({
      client: signing([{ ...jwk, kty: 'EC' }]),
      settings: { ...settings, clientCertFile: 'client.crt' },
      files: { 'client.key': key, 'client.crt': cert },
    });
    await signInAndRefresh(stage);
    const thumbprint = createHash('sha256').update(certificate.raw).digest('base64url');
    expect(decodeProtectedHeader(assertions(stage)[0] ?? '')).toEqual({ alg: 'ES256', 'x5t#S256': thumbprint });
  });

  it('has the form that Entra requires: PS256, the certificate, the token endpoint', async () => {
    const pair = await newCertificate(SUBJECT, 'rsa');
    const { publicKey } = new X509Certificate(pair.cert);
    const tid = '11111111-2222-3333-4444-555555555555';
    const claims = { tid, oid: 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', preferred_username: 'alice' };
    const client = signing([{ ...publicKey.export({ format: 'jwk' }), kty: 'RSA' }]);
    const idp = await startVendorIdp({ scopes: ['openid', 'profile', 'email', 'offline_access'], claims, client });
    onTestFinished(() => idp.close());
    const clientAuth = { method: 'private_key_jwt', key: () => certifiedSigningKey(pair) } as const;
    const entra = vendor(
      idp.issuer,
      { type: 'entra', tenant: tid, groupsAs: 'id', clientAuth },
      { mapping: { groups: '[]' } },
    );
    await signIn(idp, entra);
    const assertion = idp.tokenRequests[0]?.form.get('client_assertion') ?? '';
    expect(decodeProtectedHeader(assertion)).toEqual({
      alg: 'PS256',
      'x5t#S256': certifiedSigningKey(pair).thumbprint,
    });
    expect(decodeJwt(assertion).aud).toBe(`${idp.issuer}/token`);
  });

  it('follows its file, and never signs with a key that is half written', async () => {
    const [old, next] = [newKey('ec'), newKey('ec')];
    const client = signing([
      { ...old.jwk, kty: 'EC', kid: 'old' },
      { ...next.jwk, kty: 'EC', kid: 'next' },
    ]);
    const files = { 'client.key': JSON.stringify({ ...old.privateJwk, kid: 'old' }) };
    const stage = await startClientAuthStage({ client, settings, files });
    const kid = async (): Promise<unknown> => {
      await signIn(stage.idp, stage.provider);
      return decodeProtectedHeader(assertions(stage).at(-1) ?? '').kid;
    };
    expect(await kid()).toBe('old');
    stage.replace('client.key', JSON.stringify({ ...next.privateJwk, kid: 'next' }).slice(0, 40));
    await expect
      .poll(() => stage.log.map(({ msg }) => msg), PATIENCE)
      .toContain('new files cannot be used; the old ones stay in use');
    expect(await kid()).toBe('old');
    stage.replace('client.key', JSON.stringify({ ...next.privateJwk, kid: 'next' }));
    await expect.poll(kid, PATIENCE).toBe('next');
    expect(JSON.stringify(stage.log)).not.toContain(old.privateJwk.d);
  });

  it('has no fallback when the provider rejects the assertion', async () => {
    const [ours, theirs] = [newKey('ec'), newKey('ec')];
    const client = signing([{ ...theirs.jwk, kty: 'EC' }]);
    const stage = await startClientAuthStage({ client, settings, files: { 'client.key': ours.pem } });
    expect(await rejection(signIn(stage.idp, stage.provider))).toMatchObject(CLIENT_REFUSED);
    expect(stage.idp.tokenRequests).toHaveLength(1);
  });
});

describe('tls_client_auth', () => {
  const settings = { clientAuth: 'tls_client_auth', clientKeyFile: 'client.key', clientCertFile: 'client.crt' };
  let server: NonNullable<ClientTraits['tls']>['server'];
  let ca: string;
  let pairs: readonly { readonly cert: string; readonly key: string }[];
  beforeAll(async () => {
    server = await makeCertificates(['localhost'], Date.now());
    ({ ca, pairs } = await newClientCertificates([SUBJECT, SUBJECT, 'CN=another client']));
  });

  async function start(more: { readonly alias?: true; readonly pair?: number } = {}): Promise<ClientAuthStage> {
    const { pair = 0, ...alias } = more;
    const tls = { server, clientCa: ca, ...alias };
    const { cert = '', key = '' } = pairs[pair] ?? {};
    return startClientAuthStage({
      client: { method: 'tls_client_auth', lists: EVERY, tls },
      settings,
      files: { 'client.key': key, 'client.crt': cert },
    });
  }

  it.each([
    ['at the issuer’s own token endpoint', {}],
    ['at the endpoint for certificates (mtls_endpoint_aliases)', { alias: true } as const],
  ])('signs a user in and refreshes the user, %s', async (_name, more) => {
    const stage = await start(more);
    expect(await signInAndRefresh(stage)).toMatchObject({ identity: { username: 'corp:alice' } });
    expect(stage.idp.tokenRequests).toMatchObject([{ certificate: 'portcullis' }, { certificate: 'portcullis' }]);
    // UserInfo, keys and discovery are requested without a client certificate.
    expect(stage.idp.asked).toEqual(expect.arrayContaining(['/me', '/jwks', '/.well-known/openid-configuration']));
    expect(stage.idp.shownAt).toEqual(['/token', '/token']);
  });

  it('follows its files, and never presents half of a new pair', async () => {
    const stage = await start();
    const [old, next] = pairs;
    const { fingerprint256 } = new X509Certificate(next?.cert ?? '');
    const shown = async (): Promise<unknown> => {
      await signIn(stage.idp, stage.provider);
      return stage.idp.tokenRequests.at(-1)?.fingerprint;
    };
    expect(await shown()).toBe(new X509Certificate(old?.cert ?? '').fingerprint256);
    stage.replace('client.crt', next?.cert ?? '');
    await expect
      .poll(() => stage.log.map(({ msg }) => msg), PATIENCE)
      .toContain('new files cannot be used; the old ones stay in use');
    expect(await shown()).toBe(new X509Certificate(old?.cert ?? '').fingerprint256);
    stage.replace('client.key', next?.key ?? '');
    await expect.poll(shown, PATIENCE).toBe(fingerprint256);
  });

  it('has no fallback when the certificate belongs to another client', async () => {
    const stage = await start({ pair: 2 });
    expect(await rejection(signIn(stage.idp, stage.provider))).toMatchObject(CLIENT_REFUSED);
    expect(stage.idp.tokenRequests).toHaveLength(1);
  });

  it('is never sent to another host, whatever the discovery document names', async () => {
    const stage = await start();
    stage.idp.discovery = { mtls_endpoint_aliases: { token_endpoint: 'https://evil.example/token' } };
    expect(await rejection(stage.provider.begin())).toMatchObject({ code: 'provider_unavailable' });
    expect(stage.idp.asked).toEqual(['/.well-known/openid-configuration']);
  });
});

describe('none', () => {
  it('a public client sends PKCE and no other credential', async () => {
    const stage = await startClientAuthStage({
      client: { method: 'none', lists: EVERY },
      settings: { clientAuth: 'none' },
    });
    expect(await signInAndRefresh(stage)).toMatchObject({ identity: { username: 'corp:alice' } });
    const [first, second] = stage.idp.tokenRequests;
    expect(first?.form.get('code_verifier')).toMatch(/^[\w-]{43,}$/);
    for (const each of [first, second]) {
      expect(each).toMatchObject({ authorization: undefined });
      expect(each?.form.get('client_id')).toBe('portcullis');
      expect(each?.form.has('client_secret')).toBe(false);
    }
  });

  it('a public client is rejected by a provider that requires a credential', async () => {
    const stage = await startClientAuthStage({ client: { lists: EVERY }, settings: { clientAuth: 'none' } });
    expect(await rejection(signIn(stage.idp, stage.provider))).toMatchObject(CLIENT_REFUSED);
    expect(stage.idp.tokenRequests).toHaveLength(1);
  });
});
