/** Providers, directories and webhooks behind a real squid, which alone can resolve their names. The cluster is reached past it. */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpsServer, globalAgent } from 'node:https';
import { createServer, type AddressInfo, type LookupFunction } from 'node:net';
import { join } from 'node:path';
import { exportPKCS8, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { makeCertificates } from '../../demo/certificates.ts';
import { egressProxy, type EgressProxy } from '../../src/egress/egress.ts';
import { createProviderProbe } from '../../src/idp/provider-health.ts';
import type { IdentityProvider, ProviderSignIn } from '../../src/idp/idp.ts';
import { createLogger } from '../../src/telemetry/telemetry.ts';
import { Collector } from '../support/audit-collector.ts';
import { startTestInstance } from '../support/instance.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider } from '../support/hostile-provider.ts';
import { FORBIDDEN_HOST, SQUID_CREDENTIALS, startSquid, type Squid } from '../support/squid.ts';
import { makeCertificate, type TestCertificate } from '../support/upstream.ts';
import { directoryAnswer, startVendorApi } from '../support/vendor-api.ts';
import { CALLBACK, startVendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

const IDP = 'idp.test';
const SIEM = 'siem.test';
const DIRECTORY = 'directory.test';

let squid: Squid;
let certificate: TestCertificate;
let idp: HostileProvider;

beforeAll(async () => {
  [squid, certificate] = await Promise.all([startSquid([IDP, SIEM, DIRECTORY]), makeCertificate(IDP)]);
  idp = await startHostileProvider(certificate, IDP);
});
afterAll(async () => {
  await Promise.all([squid.stop(), idp.close()]);
});

const proxy = ({ host = squid.host, credentials = SQUID_CREDENTIALS, noProxy = '' } = {}): EgressProxy =>
  egressProxy(
    { url: `http://${host}`, setting: 'outbound.proxy', noProxy, credentials: () => credentials },
    { secret: () => () => '', caBundle: () => () => '' },
  );

/** An address at which this machine reaches itself, and which no rule takes for loopback: Go's would send it to the proxy. */
async function startCluster() {
  const { ca, ...pair } = await makeCertificates(['0.0.0.0'], Date.now());
  const server = createHttpsServer(pair, (_, response) => response.end('{"kind":"PodList","items":[]}'));
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ca, server: `https://0.0.0.0:${(server.address() as AddressInfo).port}` };
}

/** The user's browser resolves names by itself. */
function browserKnowsNames(): void {
  const lookup: LookupFunction = (_name, { all }, callback) =>
    all === true ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4);
  Object.assign(globalAgent.options, { lookup, ca: certificate.cert });
  onTestFinished(() => {
    delete globalAgent.options.lookup;
    delete globalAgent.options.ca;
  });
}

it('a user signs in, events reach the webhook, and the cluster is reached past the proxy', async () => {
  const siem = await makeCertificate(SIEM);
  const collector = await Collector.start((listener) => createHttpsServer(siem, listener), 'https');
  const cluster = await startCluster();
  browserKnowsNames();
  idp.lie({ idToken: (honest) => ({ ...honest, groups: ['developers'] }) });
  const instance = await startTestInstance({
    env: { https_proxy: `${SQUID_CREDENTIALS}@${squid.host}`, NO_PROXY: '.svc' },
    async file(settings, { files: { directory } }) {
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(directory, name), text);
        return join(directory, name);
      };
      const [own, ...clusters] = settings['clusters'] as readonly object[];
      const [provider] = settings['providers'] as readonly object[];
      const idpCa = await file('idp.crt', certificate.cert);
      const webhook = {
        type: 'webhook',
        url: collector.url.replace('127.0.0.1', SIEM),
        caFile: await file('siem.crt', siem.cert),
        proxy: `http://${squid.host}`,
        proxyCredentialsFile: await file('credentials', `${SQUID_CREDENTIALS}\n`),
      };
      return {
        ...settings,
        providers: [{ ...provider, issuer: idp.issuer, clientId: CLIENT_ID, caFile: idpCa }],
        clusters: [{ ...own, server: cluster.server, caFile: await file('cluster.crt', cluster.ca) }, ...clusters],
        audit: { sinks: [{ type: 'file', path: join(directory, 'audit.log') }, webhook] },
      };
    },
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= instance.stop());
  onTestFinished(stop);
  const client = await instance.connect();
  onTestFinished(() => client.close());

  const { accessToken } = await client.signIn('alice');
  const pods = await client.get('/api/v1/namespaces/default/pods', accessToken);
  expect(pods).toMatchObject({ status: 200, body: { kind: 'PodList' } });
  await expect
    .poll(() => collector.asked.some(({ body }) => body.includes('/api/v1/namespaces/default/pods')))
    .toBe(true);

  const audited = await readFile(join(instance.files.directory, 'audit.log'), 'utf8');
  expect(audited).toContain('configuration-loaded');
  expect(audited).not.toContain('squid-canary');
  // A tunnel is in the log once it has ended.
  await stop();
  await expect.poll(() => squid.log()).toMatch(/ CONNECT siem\.test:\d+ anna /);
  expect(await squid.log()).toMatch(/ CONNECT idp\.test:\d+ anna /);
  expect(await squid.log()).not.toContain('0.0.0.0');
});

describe('through the proxy', () => {
  const corp = (options: Parameters<typeof vendor>[2] = {}): IdentityProvider =>
    vendor(
      idp.issuer,
      { type: 'oidc', ca: () => certificate.cert, proxy: proxy() },
      { mapping: { username: 'claims.preferred_username' }, ...options },
    );

  /** As the provider sends a browser back. */
  async function finish(provider: IdentityProvider): Promise<ProviderSignIn> {
    const { url, challenge } = await provider.begin();
    const callback = new URL(CALLBACK);
    const code = url.searchParams.get('nonce') ?? '';
    callback.search = new URLSearchParams({ code, state: challenge.state, iss: idp.issuer }).toString();
    return provider.finish(callback, challenge);
  }

  it('the provider’s new keys are read', async () => {
    let now = Date.now();
    const provider = corp({ clock: { nowMs: () => now } });
    idp.lie({});
    await finish(provider);
    idp.lie({ rotated: true, unknownKey: true });
    now += 31_000;
    expect((await finish(provider)).subject).toBe('42');
    idp.lie({});
  });

  it('a user’s groups are read from the directory', async () => {
    const directory = await startVendorApi(DIRECTORY);
    onTestFinished(() => directory.close());
    directory.answer = directoryAnswer(['team@example.com']);
    // On loopback, so the proxy is not used for it.
    const google = await startVendorIdp({
      scopes: ['openid'],
      claims: { email: 'a@example.com', email_verified: true },
    });
    onTestFinished(() => google.close());
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const key = JSON.stringify({
      type: 'service_account',
      client_email: 'p@example.com',
      private_key: await exportPKCS8(privateKey),
    });
    const provider = vendor(
      google.issuer,
      {
        type: 'google',
        ca: () => directory.ca,
        proxy: proxy(),
        directory: { serviceAccount: () => key, admin: 'admin@example.com' },
      },
      {},
      { graph: 'https://localhost:1', googleApi: directory.origin, googleToken: `${directory.origin}/token` },
    );
    expect((await signIn(google, provider)).identity.groups).toEqual(['corp:team@example.com']);
  });
});

describe('a proxy that does not let us through', () => {
  const at = async (issuer: string, options: Parameters<typeof proxy>[0] = {}, seconds = 3): Promise<string> => {
    const reach = { ca: () => certificate.cert, proxy: proxy(options) };
    return (await createProviderProbe({ type: 'oidc', issuer, ...reach }, { timeoutSeconds: seconds })()) ?? 'it works';
  };

  it('is named to the operator, without name and password', async () => {
    const hung = createServer().listen(0, '127.0.0.1');
    await once(hung, 'listening');
    onTestFinished(() => void hung.close());
    const silent = `127.0.0.1:${(hung.address() as AddressInfo).port}`;
    const messages = await Promise.all([
      at(idp.issuer),
      at(idp.issuer, { credentials: 'anna:wrong-canary' }),
      at(`https://${FORBIDDEN_HOST}`),
      at('https://unknown.test'),
      at(idp.issuer, { host: '127.0.0.1:1' }),
      at(idp.issuer, { host: silent }, 0.3),
      at(idp.issuer, { noProxy: IDP }),
    ]);
    const target = new URL(idp.issuer).host;
    expect(messages).toEqual([
      'it works',
      `The proxy ${squid.host} did not accept the name and password, or there are none (407). Check outbound.proxyCredentialsFile.`,
      `The proxy ${squid.host} did not connect to ${FORBIDDEN_HOST}:443 (403). Have its operator allow that, or except the host: outbound.noProxy.`,
      `The proxy ${squid.host} did not connect to unknown.test:443 (503). Have its operator allow that, or except the host: outbound.noProxy.`,
      'The proxy 127.0.0.1:1 cannot be reached (ECONNREFUSED). Check outbound.proxy, and the network and its policies.',
      `The proxy ${silent} did not connect to ${target} in time. Check the proxy, and that it reaches that host.`,
      expect.stringMatching(/name (?:is not known to DNS|could not be looked up)/),
    ]);
  });

  it('is an unavailable provider to the user, and the log says which proxy it was', async () => {
    const lines: string[] = [];
    const failed = await rejection(
      vendor(idp.issuer, {
        type: 'oidc',
        ca: () => certificate.cert,
        proxy: proxy({ credentials: 'anna:wrong-canary' }),
      }).begin(),
    );
    expect(failed).toMatchObject({ code: 'provider_unavailable', reason: 'provider_unreachable' });
    expect(failed.message).not.toContain(squid.host);
    createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } }).error(
      { err: failed },
      'x',
    );
    expect(lines.join('')).toContain(`The proxy ${squid.host} did not accept the name and password`);
    expect(lines.join('')).toContain('PROXY_AUTHENTICATION_REQUIRED');
    expect(lines.join('')).not.toContain('canary');
  });
});
