/** The CA of Redis is replaced under a load, with and without Sentinel: no user notices. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { type RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { metric } from '../support/metric.ts';
import { newClientKey, type OAuthClient } from '../support/oauth-client.ts';
import { startRedis, startSentinels, type RedisServer, type Sentinels } from '../support/redis.ts';
import { startRefreshing, type RefreshingLoad } from '../support/refreshing-load.ts';
import { startLoad, type Load } from '../support/steady-load.ts';
import { makeCertificate, type TestCertificate } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const PATIENCE = { timeout: 60_000, interval: 50 };
const COUNTED = 'portcullis_key_changes_total{kind="authorities",outcome=';

/** What Redis and its Sentinels show; they trust each other by both CAs all the time. */
interface Shown {
  ca: string;
  cert: string;
  key: string;
}

/** A master by itself, or with a follower and a Sentinel. */
async function startNodes(tls: Shown, withSentinel: boolean) {
  const master = await startRedis({ tls });
  const follower = withSentinel ? await startRedis({ tls, replicaOf: master }) : undefined;
  // There is no failover here, however busy the machine is.
  const sentinels = withSentinel ? await startSentinels(master, 1, { tls, downAfterMs: 60_000 }) : undefined;
  return { master, follower, sentinels };
}

/** Both at once: most of it is waiting, for the longer lease and for files to be read again. The tests of one come one after the other. */
const inOrder = { concurrent: false };

describe.concurrent.each([
  ['Redis by itself', false],
  ['Redis behind Sentinel', true],
])('%s', (_name, withSentinel) => {
  let former: TestCertificate;
  let next: TestCertificate;
  let shown: Shown;
  let master: RedisServer;
  let follower: RedisServer | undefined;
  let sentinels: Sentinels | undefined;
  let operator: Redis;
  let instance: TestInstance;
  let server: RunningServer;
  let client: OAuthClient;
  let load: Load;
  let refreshing: RefreshingLoad;

  const at = (name: string): string => join(instance.files.directory, name);

  beforeAll(async () => {
    [former, next] = await Promise.all([makeCertificate('former.test'), makeCertificate('next.test')]);
    const both = `${former.cert}\n${next.cert}\n`;
    shown = { ca: both, ...former };
    ({ master, follower, sentinels } = await startNodes(shown, withSentinel));
    operator = new Redis({ host: '127.0.0.1', port: master.port, tls: { ca: both } });
    instance = await startTestInstance();
    await instance.server.stop();
    await writeFile(at('redis-ca.crt'), former.cert);
    const loaded = (config: Config): Config => ({
      ...config,
      // On a machine that is busy with other things a lease of two seconds may lapse by itself.
      revocation: { ...config.revocation, staleness: 10 },
      store: {
        kind: 'redis',
        url: master.url,
        prefix: 'rotation',
        caFile: at('redis-ca.crt'),
        nodes: withSentinel ? 3 : 1,
        ...(sentinels === undefined ? {} : { sentinel: { addresses: sentinels.addresses, master: sentinels.master } }),
      },
    });
    server = await instance.restart({ loaded });
    const { ca } = instance;
    const key = await newClientKey();
    client = await instance.connect({ key });
    const { accessToken, refreshToken } = await client.signIn('alice');
    const headers = { authorization: `Bearer ${accessToken}` };
    const backends = { ca, certificate: key, path: PODS, headers, ports: () => [server.ports.api], pauseMs: 10 };
    load = startLoad(backends, 'h2');
    refreshing = startRefreshing(client, client, { refreshToken, path: PODS });
  });
  afterAll(async () => {
    await Promise.all([load.stop(), refreshing.stop()]);
    await instance.stop();
    operator.disconnect();
    await sentinels?.[Symbol.asyncDispose]();
    await follower?.stop();
    await master.stop();
  });

  const counted = async (outcome: string): Promise<number> =>
    Number((await metric(server, `${COUNTED}"${outcome}"}`)) ?? 0);

  /** As a Secret's new version comes: whole, in one moment. Resolves when the server has it. */
  async function replace(text: string): Promise<void> {
    const before = await counted('taken');
    await writeFile(at('redis-ca.crt.next'), text);
    await rename(at('redis-ca.crt.next'), at('redis-ca.crt'));
    await vi.waitUntil(async () => (await counted('taken')) === before + 1, PATIENCE);
  }

  /** Redis and its Sentinels show this one from the next handshake on. */
  async function show({ cert, key }: TestCertificate): Promise<void> {
    Object.assign(shown, { cert, key });
    const files = { 'tls-cert-file': join(master.dir, 'shown.crt'), 'tls-key-file': join(master.dir, 'shown.key') };
    await Promise.all([writeFile(files['tls-cert-file'], cert), writeFile(files['tls-key-file'], key)]);
    await operator.config('SET', ...Object.entries(files).flat());
    await Promise.all((sentinels?.processes ?? []).map((one) => one.restart()));
  }

  /** The clients of the server, by name. */
  async function connections(): Promise<readonly { readonly id: string; readonly name: string }[]> {
    return String(await operator.client('LIST'))
      .split('\n')
      .map((line) => ({ id: /\bid=(\d+)/.exec(line)?.[1] ?? '', name: /\bname=(\S*)/.exec(line)?.[1] ?? '' }))
      .filter(({ name }) => name.startsWith('portcullis-'));
  }

  async function disconnect(): Promise<void> {
    for (const { id } of await connections()) await operator.client('KILL', 'ID', Number(id));
  }

  /** Makes each of its connections again, as if the network had failed. */
  async function reconnect(): Promise<void> {
    const old = new Set((await connections()).map(({ id }) => id));
    expect(old.size).toBe(4);
    await disconnect();
    const fresh = async (): Promise<number> => (await connections()).filter(({ id }) => !old.has(id)).length;
    await vi.waitUntil(async () => (await fresh()) === 4, PATIENCE);
  }

  async function expectServed(): Promise<void> {
    const [served, renewed] = [load.done(), refreshing.done()];
    await vi.waitUntil(() => load.done() > served + 50, PATIENCE);
    await vi.waitUntil(() => refreshing.done() > renewed + 5, PATIENCE);
    expect([...load.failures, ...refreshing.failures]).toEqual([]);
  }

  it(
    'no user notices the old CA and the new one, then the new certificate, then the new CA alone',
    inOrder,
    async () => {
      await expectServed();
      await replace(`${former.cert}\n${next.cert}\n`);
      await expectServed();
      await show(next);
      // Open connections stay.
      await expectServed();
      await reconnect();
      await expectServed();
      await replace(next.cert);
      await expectServed();
      await reconnect();
      await expectServed();
      expect(await counted('refused')).toBe(0);
    },
  );

  it('a file that is empty for a moment is counted, and changes nothing', inOrder, async () => {
    const before = await counted('refused');
    await writeFile(at('redis-ca.crt'), '');
    await vi.waitFor(async () => expect(await counted('refused')).toBe(before + 1), PATIENCE);
    await reconnect();
    await expectServed();
    await replace(next.cert);
  });

  it('a CA that is no longer in the file verifies no Redis', inOrder, async () => {
    await Promise.all([load.stop(), refreshing.stop()]);
    await replace(former.cert);
    await disconnect();
    await expect(server.store.ping()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await connections()).toEqual([]);
    await replace(next.cert);
    await vi.waitFor(() => server.store.ping(), PATIENCE);
  });
});
