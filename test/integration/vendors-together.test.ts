import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { identityProviders } from '../../src/server/dependencies.ts';
import { createReloading } from '../../src/server/reload.ts';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { createLogger, createMetrics } from '../../src/telemetry/telemetry.ts';
import { CLIENT, startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn } from '../support/vendors.ts';

const SCOPES = ['openid', 'profile', 'email', 'offline_access'];
const FILES = ['tls.crt', 'tls.key', 'token', 'client-secret', 'keys/signing/.keep', 'keys/sealing/.keep'];

describe('two providers of one configuration', () => {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-vendors-'));
  let okta: VendorIdp;
  let keycloak: VendorIdp;
  let providers: ReadonlyMap<string, IdentityProvider>;

  beforeAll(async () => {
    const user = { preferred_username: 'alice', groups: ['dev'] };
    okta = await startVendorIdp({
      scopes: SCOPES,
      claims: user,
      callback: 'https://portcullis.example.com/callback/corp',
    });
    keycloak = await startVendorIdp({
      scopes: SCOPES,
      claims: user,
      callback: 'https://portcullis.example.com/callback/partners',
    });
    for (const file of FILES) {
      mkdirSync(dirname(join(directory, file)), { recursive: true });
      writeFileSync(join(directory, file), file === 'client-secret' ? CLIENT.secret : 'content');
    }
    const client = { clientId: CLIENT.id, clientSecretFile: 'client-secret' };
    const file = join(directory, 'portcullis.yaml');
    writeFileSync(
      file,
      stringify({
        publicUrl: 'https://portcullis.example.com',
        listen: {
          api: { certFile: 'tls.crt', keyFile: 'tls.key', publicUrl: 'https://api.example.com:6443' },
          web: { certFile: 'tls.crt', keyFile: 'tls.key' },
        },
        store: { memory: {} },
        keys: { signingDir: 'keys/signing', sealingDir: 'keys/sealing' },
        providers: [
          { name: 'corp', type: 'okta', issuer: okta.issuer, ...client },
          { name: 'partners', type: 'keycloak', issuer: keycloak.issuer, ...client },
        ],
        clusters: [{ name: 'prod', server: 'https://10.0.0.1:6443', tokenFile: 'token', impersonate: { groups: '*' } }],
      }),
    );
    const loaded = await loadConfig({ file, env: {} });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
    const logger = createLogger({ level: 'error' });
    const reloading = createReloading({ logger, metrics: createMetrics() });
    providers = identityProviders(loaded.value.config, reloading, logger);
  });
  afterAll(async () => {
    await Promise.all([okta.close(), keycloak.close()]);
    rmSync(directory, { recursive: true, force: true });
  });

  const named = (name: string): IdentityProvider => {
    const provider = providers.get(name);
    if (provider === undefined) throw new Error(`there is no ${name}`);
    return provider;
  };

  it('distinguish two users of one name, at sign-in and at each re-check', async () => {
    for (const [name, idp] of [
      ['corp', okta],
      ['partners', keycloak],
    ] as const) {
      const user = await signIn(idp, named(name));
      const identity = { username: `${name}:alice`, groups: [`${name}:dev`], uid: `${name}/subject-of-alice` };
      expect(user.identity).toMatchObject(identity);
      const again = await named(name).recheck(user.subject, user.refreshToken ?? '');
      expect(again.identity).toMatchObject(identity);
    }
  });

  // RFC 9700 §4.4: the mix-up attack.
  it('do not accept each other’s responses', async () => {
    const begun = await named('corp').begin();
    const answer = await okta.visit(begun.url);
    expect(await rejection(named('partners').finish(answer, begun.challenge))).toMatchObject({
      code: 'provider_unavailable',
    });
    const user = await signIn(okta, named('corp'));
    expect(await rejection(named('partners').recheck(user.subject, user.refreshToken ?? ''))).toMatchObject({
      code: 'sign_in_refused',
    });
  });
});
