/** The listener's certificate, the proxy's token at the cluster and the secret at the provider are replaced under a load: nothing fails. */
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeCertificates } from '../../demo/certificates.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider } from '../support/hostile-provider.ts';
import { newClientKey } from '../support/oauth-client.ts';
import { startLoad, type Backends, type Load } from '../support/steady-load.ts';
import { answerJson, startUpstream, type RecordingUpstream } from '../support/upstream.ts';

const PATIENCE = { timeout: 60_000, interval: 50 };

let instance: TestInstance;
let upstream: RecordingUpstream;
let provider: HostileProvider;
let backends: Backends;
let fresh: { readonly ca: string; readonly cert: string; readonly key: string };
/** What the cluster accepts from the proxy. */
let accepted: ReadonlySet<string>;
const loads: Load[] = [];

const at = (name: string): string => join(instance.files.directory, name);

async function replace(name: string, text: string): Promise<void> {
  await writeFile(at(`${name}.next`), text);
  await rename(at(`${name}.next`), at(name));
}

beforeAll(async () => {
  instance = await startTestInstance();
  [upstream, provider] = await Promise.all([startUpstream(), startHostileProvider()]);
  await instance.server.stop();
  await Promise.all([replace('cluster-token', 'token-1\n'), replace('cluster-ca.crt', upstream.ca)]);
  accepted = new Set(['Bearer token-1']);
  const pods = answerJson({ kind: 'PodList', apiVersion: 'v1', items: [] });
  upstream.answer = (req, res) => {
    if (accepted.has(req.headers.authorization ?? '')) pods(req, res);
    else res.writeHead(401, { 'content-type': 'application/json' }).end('{}');
  };
  await instance.restart({
    loaded: (config) => ({
      ...config,
      clusters: config.clusters.map((cluster) => ({ ...cluster, server: upstream.server })),
      providers: config.providers.map((one) => ({ ...one, issuer: provider.issuer, clientId: CLIENT_ID })),
      limits: { ...config.limits, signInsPerMinute: 1_000_000 },
    }),
  });
  const { ca } = instance;
  fresh = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  const key = await newClientKey();
  const client = await instance.connect({ key });
  const { accessToken } = await client.signIn('alice');
  await client.close();
  backends = {
    ca,
    certificate: key,
    path: '/api/v1/namespaces/default/pods',
    headers: { authorization: `Bearer ${accessToken}` },
    ports: () => [instance.server.ports.api],
    pauseMs: 10,
  };
  loads.push(startLoad(backends, 'http/1.1'), startLoad(backends, 'h2'));
});
afterAll(async () => {
  await Promise.all(loads.map((load) => load.stop()));
  await instance.stop();
  await Promise.all([upstream.close(), provider.close()]);
});

async function expectServed(): Promise<void> {
  const before = loads.map((load) => load.done());
  for (const [index, load] of loads.entries()) {
    await expect.poll(() => load.done(), PATIENCE).toBeGreaterThan((before[index] ?? 0) + 50);
  }
  expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
}

it('the proxy’s token at the cluster is replaced', async () => {
  await expectServed();
  accepted = new Set(['Bearer token-1', 'Bearer token-2']);
  await replace('cluster-token', 'token-2\n');
  const last = (): string | undefined =>
    upstream.requests.at(-1)?.rawHeaders.find((value) => value.startsWith('Bearer'));
  await expect.poll(last, PATIENCE).toBe('Bearer token-2');
  accepted = new Set(['Bearer token-2']);
  await expectServed();
});

it('the certificate of the listener is replaced', async () => {
  const shown = async (): Promise<string | undefined> => {
    // The CA differs before and after; the loads verify that.
    const socket = connect({ host: '127.0.0.1', port: instance.server.ports.api, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const before = await shown();
  // Never both in one moment: half of the new pair is seen, and not used.
  await replace('server.crt', fresh.cert);
  await expectServed();
  await replace('server.key', fresh.key);
  await expect.poll(shown, PATIENCE).not.toBe(before);
  const reconnected = { ...backends, ca: fresh.ca };
  loads.push(startLoad(reconnected, 'http/1.1'), startLoad(reconnected, 'h2'));
  await expectServed();
});

it('the client secret at an identity provider is replaced', async () => {
  const old = `${CLIENT_ID}:${instance.files.clientSecret}`;
  const next = `${CLIENT_ID}:next-secret`;
  let last = '';
  let good: readonly string[] = [old, next];
  provider.lie({ client: (proof) => good.includes((last = proof)) });
  const client = await instance.connect({ key: null });
  const failures: string[] = [];
  let done = 0;
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { callback } = await client.authorize('alice');
      if (!callback.searchParams.has('code')) failures.push(callback.href);
      done += 1;
    }
  };
  const finished = loop();
  await expect.poll(() => done, PATIENCE).toBeGreaterThan(5);
  expect(last).toBe(old);
  await replace('client-secret', 'next-secret\n');
  await expect.poll(() => last, PATIENCE).toBe(next);
  good = [next];
  const before = done;
  await expect.poll(() => done, PATIENCE).toBeGreaterThan(before + 5);
  stopping.abort();
  await finished;
  await client.close();
  expect(failures).toEqual([]);
});
