/** One provider of a configuration file with the files that it names, as the server has it: read, judged, followed. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { identityProviders } from '../../src/server/dependencies.ts';
import { createReloading } from '../../src/server/reload.ts';
import { createLogger, createMetrics } from '../../src/telemetry/telemetry.ts';
import type { ClientSwitches, ClientTraits } from './client-switches.ts';
import { CLIENT, startVendorIdp, type VendorIdp } from './vendor-idp.ts';
import { signIn } from './vendors.ts';

export interface ClientAuthStage {
  readonly idp: VendorIdp;
  readonly provider: IdentityProvider;
  /** Lines of the log, parsed. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Replaces one of the files at one moment. */
  replace(name: string, content: string): void;
}

export interface StageOptions {
  readonly client: ClientTraits;
  readonly switches?: ClientSwitches;
  /** Of the provider, in addition to its name, issuer and client id. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** In addition to those that every configuration needs. */
  readonly files?: Readonly<Record<string, string>>;
}

const FILES = ['tls.crt', 'tls.key', 'token', 'keys/signing/.keep', 'keys/sealing/.keep'];
const SCOPES = ['openid', 'profile', 'email', 'offline_access'];

/** It goes when the test is over. */
export async function startClientAuthStage({
  client,
  switches = {},
  settings = {},
  files = {},
}: StageOptions): Promise<ClientAuthStage> {
  const callback = 'https://portcullis.example.com/callback/corp';
  const claims = { preferred_username: 'alice', groups: ['dev'] };
  const idp = await startVendorIdp({ scopes: SCOPES, claims, callback, client, graceUses: 1 });
  idp.client = switches;
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-client-auth-'));
  const write = (name: string, content: string): void => {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  };
  for (const name of FILES) write(name, 'content');
  for (const [name, content] of Object.entries(files)) write(name, content);
  const ca = client.tls?.server.ca;
  if (ca !== undefined) write('idp-ca.crt', ca);
  const own = {
    name: 'corp',
    type: 'keycloak',
    issuer: idp.issuer,
    clientId: CLIENT.id,
    ...(ca === undefined ? {} : { caFile: 'idp-ca.crt' }),
  };
  write(
    'portcullis.yaml',
    stringify({
      publicUrl: 'https://portcullis.example.com',
      listen: {
        api: { certFile: 'tls.crt', keyFile: 'tls.key', publicUrl: 'https://api.example.com:6443' },
        web: { certFile: 'tls.crt', keyFile: 'tls.key' },
      },
      store: { memory: {} },
      keys: { signingDir: 'keys/signing', sealingDir: 'keys/sealing' },
      providers: [{ ...own, ...settings }],
      clusters: [{ name: 'prod', server: 'https://10.0.0.1:6443', tokenFile: 'token', impersonate: { groups: '*' } }],
    }),
  );
  const loaded = await loadConfig({ file: join(directory, 'portcullis.yaml'), env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const log: Record<string, unknown>[] = [];
  const logger = createLogger({ level: 'info', destination: { write: (line) => void log.push(JSON.parse(line)) } });
  const reloading = createReloading({ logger, metrics: createMetrics() });
  const provider = identityProviders(loaded.value.config, reloading, logger).get('corp');
  if (provider === undefined) throw new Error('there is no provider');
  onTestFinished(async () => {
    reloading.stop();
    await idp.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    idp,
    provider,
    log,
    replace(name, content) {
      write(`${name}.next`, content);
      renameSync(join(directory, `${name}.next`), join(directory, name));
    },
  };
}

/** Signs alice in and asks about her once more, as a refresh does. */
export async function signInAndRefresh({
  idp,
  provider,
}: Pick<ClientAuthStage, 'idp' | 'provider'>): Promise<ProviderSignIn> {
  const first = await signIn(idp, provider);
  return provider.recheck(first.subject, first.refreshToken ?? '');
}

/** The same with the secret in its file. */
export const SECRET_SETTINGS = { clientSecretFile: 'client-secret' } as const;
