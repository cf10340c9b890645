import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { clusterAudience } from '../../src/core/core.ts';
import type { UpstreamCluster } from '../../src/proxy/proxy.ts';
import { call, claimsOf, HOST, open, pairsOf, sign, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Called, CallOptions, TestUser, PlaneOptions, TestPlane } from '../support/data-plane.ts';
import { answerJson, startUpstream } from '../support/upstream.ts';
import type { RecordingUpstream } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const DEV_HOST = 'dev.k8s.test';

const dev = (of: Pick<UpstreamCluster, 'server'> & Partial<UpstreamCluster>): UpstreamCluster => ({
  name: 'dev',
  hosts: [DEV_HOST],
  token: () => 'dev-token',
  impersonate: { groups: '*', extra: [], constrained: 'off' },
  ...of,
});

/** Returns a token of the same session for the other cluster, as the token endpoint issues it. */
async function tokenForDev(plane: TestPlane, user: TestUser): Promise<string> {
  const claims = claimsOf(user.session, user.thumbprint, await plane.store.log.position());
  return sign(plane.signingKey, { ...claims, aud: clusterAudience('dev') });
}

describe('two clusters behind one proxy', () => {
  let plane: TestPlane;
  let other: RecordingUpstream;
  let alice: TestUser;
  let devToken: string;
  beforeAll(async () => {
    other = await startUpstream();
    plane = await startPlane({ otherClusters: [dev({ server: other.server, ca: other.ca })] });
    alice = await signIn(plane);
    devToken = await tokenForDev(plane, alice);
  });
  beforeEach(() => {
    plane.audited.length = 0;
    plane.upstream.clear();
    other.clear();
  });
  afterAll(async () => {
    await plane.close();
    await other.close();
  });

  const lastAnnotations = async (): Promise<unknown> => {
    await until(() => plane.audited.length > 0, 'the audit line');
    return plane.audited.at(-1)?.annotations;
  };

  it('are distinguished by host, with one sign-in for both and a token and credential for each', async () => {
    other.answer = answerJson({ kind: 'PodList', items: ['of dev'] });
    expect((await call(plane, alice, PODS)).text).not.toContain('of dev');
    expect((await call(plane, alice, PODS, { host: DEV_HOST, token: devToken })).text).toContain('of dev');
    expect([plane.upstream.requests.length, other.requests.length]).toEqual([1, 1]);
    expect(pairsOf(plane.upstream.requests[0]?.rawHeaders)).toContainEqual(['Authorization', 'Bearer upstream-token']);
    expect(pairsOf(other.requests[0]?.rawHeaders)).toContainEqual(['Authorization', 'Bearer dev-token']);
    await until(() => plane.audited.length === 2, 'both lines');
    expect(plane.audited.map(({ annotations }) => annotations['portcullis.dev/cluster'])).toEqual(['prod', 'dev']);
    expect(new Set(plane.audited.map(({ annotations }) => annotations['portcullis.dev/session'])).size).toBe(1);
  });

  it.each<[string, CallOptions]>([
    ['prod', { host: HOST }],
    ['dev', { host: DEV_HOST }],
  ])('reject at %s a token for the other cluster, and forward nothing', async (name, options) => {
    const token = name === 'prod' ? devToken : alice.token;
    const response = await call(plane, alice, PODS, { ...options, token });
    expect(response.json()).toMatchObject({ code: 401, reason: 'Unauthorized' });
    expect(await lastAnnotations()).toMatchObject({
      'portcullis.dev/reason': 'wrong_audience',
      'portcullis.dev/cluster': name,
    });
    expect([...plane.upstream.requests, ...other.requests]).toEqual([]);
  });

  it('are both closed to a session by one revocation', async () => {
    const bob = await signIn(plane, { subject: 'bob' });
    const token = await tokenForDev(plane, bob);
    await plane.guard.revoke({ target: { kind: 'session', session: bob.session.id } });
    expect((await call(plane, bob, PODS)).status).toBe(401);
    expect((await call(plane, bob, PODS, { host: DEV_HOST, token })).status).toBe(401);
    expect([...plane.upstream.requests, ...other.requests]).toEqual([]);
  });
});

describe('a cluster that is unavailable', () => {
  const ends: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  async function withSecondCluster(server: string, options: PlaneOptions & { readonly ca?: string } = {}) {
    const { ca, ...rest } = options;
    const plane = await startPlane({ ...rest, otherClusters: [dev({ server, ...(ca === undefined ? {} : { ca }) })] });
    ends.push(() => plane.close());
    const alice = await signIn(plane);
    const token = await tokenForDev(plane, alice);
    const atDev = (): Promise<Called> => call(plane, alice, PODS, { host: DEV_HOST, token });
    const hanging = (): ReturnType<typeof open> => open(plane, alice, PODS, { host: DEV_HOST, token });
    return { plane, alice, atDev, hanging };
  }

  it('gets 503 immediately when it refuses connections, and does not affect the other cluster', async () => {
    const { plane, alice, atDev } = await withSecondCluster(`https://127.0.0.1:${await closedPort()}`);
    const responses = await Promise.all([atDev(), call(plane, alice, PODS), atDev(), call(plane, alice, PODS)]);
    expect(responses.map(({ status }) => status)).toEqual([503, 200, 503, 200]);
    expect(responses[0]?.json().message).toMatch(
      /ask your platform team if this continues \(audit id [0-9a-f-]{36}\)$/,
    );
    expect(responses[0]?.headers['retry-after']).toBe('3');
  });

  it('does not affect the other cluster when it accepts connections and never responds', async () => {
    const silent = await silentServer();
    ends.push(() => close(silent));
    const { plane, alice, atDev } = await withSecondCluster(`https://127.0.0.1:${portOf(silent)}`, {
      timing: { connectMs: 400 },
    });
    const late = Promise.all(Array.from({ length: 20 }, () => atDev()));
    const before = performance.now();
    for (let index = 0; index < 10; index += 1) expect((await call(plane, alice, PODS)).status).toBe(200);
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(new Set((await late).map(({ status }) => status))).toEqual(new Set([503]));
  });

  it('may use no more than its share of connections when it hangs: it gets 429, and every request to the other is served', async () => {
    const hangs = await startUpstream();
    hangs.answer = () => undefined;
    ends.push(() => hangs.close());
    // A cluster may use eight of ten connections.
    const limits = { connections: 10 };
    const { plane, alice, atDev, hanging } = await withSecondCluster(hangs.server, { limits, ca: hangs.ca });
    const held = Array.from({ length: 8 }, hanging);
    for (const each of held) each.end();
    await until(() => hangs.requests.length === 8, 'eight requests that hang');
    const rejected = await atDev();
    expect(rejected.json()).toMatchObject({ code: 429, reason: 'TooManyRequests' });
    expect(rejected.headers['retry-after']).toBe('1');
    expect((await call(plane, alice, PODS)).status).toBe(200);
    expect(hangs.requests).toHaveLength(8);
    await until(() => plane.audited.length >= 2, 'both lines');
    expect(plane.counted.rejections).toContain('cluster_in_flight');
    held[0]?.destroy();
    await until(() => plane.audited.length >= 3, 'the end of one');
    hangs.answer = answerJson({});
    expect((await atDev()).status).toBe(200);
  });
});

async function silentServer(): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.on('close', () => sockets.forEach((socket) => socket.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(server, { drop: () => sockets.forEach((socket) => socket.destroy()) });
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function close(server: Server): Promise<void> {
  server.close();
  (server as Server & { drop(): void }).drop();
  await once(server, 'close');
}

async function closedPort(): Promise<number> {
  const server = await silentServer();
  const port = portOf(server);
  await close(server);
  return port;
}
