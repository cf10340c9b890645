import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/server/serve.ts';
import { rawConnection, signIn, startPlane, until, HOST } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { http2Connection } from '../support/http2-client.ts';
import { newClientKey, type ClientKey } from '../support/oauth-client.ts';
import { startLoad } from '../support/steady-load.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EVENT = '{"type":"ADDED","object":{}}\n';

/** Probes the readiness of each replica repeatedly, as a load balancer does. */
function startBalancer(replicas: () => readonly RunningServer[]) {
  const stopping = new AbortController();
  let ready: readonly number[] = replicas().map(({ ports: { api } }) => api);
  const look = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const answers = replicas().map(async ({ ports }) => {
        const answer = await fetch(`http://127.0.0.1:${ports.ops}/readyz`).catch(() => undefined);
        await answer?.body?.cancel();
        return answer?.status === 200 ? [ports.api] : [];
      });
      ready = (await Promise.all(answers)).flat();
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
  };
  const finished = look();
  return {
    ports: () => ready,
    stop: async (): Promise<void> => {
      stopping.abort();
      await finished;
    },
  };
}

describe('a rolling restart of two replicas under a steady load', () => {
  let instance: TestInstance;
  let key: ClientKey;
  let token: string;
  let ca: string;
  const replicas: RunningServer[] = [];
  const shutdown = { delay: 1, grace: 20 };

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    ({ ca } = instance);
    key = await newClientKey();
    const client = await instance.connect({ key });
    token = (await client.signIn('alice')).accessToken;
    await client.close();
    for (let count = 0; count < 2; count += 1)
      replicas.push(await instance.replica({ loaded: (config) => ({ ...config, shutdown }) }));
    await Promise.all(replicas.map(({ ready }) => ready));
  });
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    await instance.stop();
  });

  it('fails no short request, over either version of HTTP', async () => {
    const balancer = startBalancer(() => replicas);
    const { ports } = balancer;
    const backends = {
      ca,
      certificate: { cert: key.cert, key: key.key },
      path: PODS,
      headers: { authorization: `Bearer ${token}` },
      // Eight connections that never pause take the turns of both replicas in this process from their lease, where the machine is busy.
      pauseMs: 5,
    };
    const turned = (turn: number) => (): readonly number[] => (turn % 2 === 0 ? ports() : ports().toReversed());
    const loads = (['http/1.1', 'h2'] as const).flatMap((protocol) =>
      [0, 1, 2, 3].map((turn) => startLoad({ ...backends, ports: turned(turn) }, protocol)),
    );
    const answered = (): number => loads.reduce((sum, load) => sum + load.done(), 0);
    await until(() => answered() > 200, 'the load to be steady', 20_000);
    for (const index of [0, 1]) {
      const old = replicas[index];
      await old?.stop();
      const fresh = await instance.replica({ loaded: (config) => ({ ...config, shutdown }) });
      replicas[index] = fresh;
      const before = answered();
      await until(() => answered() > before + 200, 'the load to go on', 20_000);
    }
    await Promise.all(loads.map((load) => load.stop()));
    await balancer.stop();
    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    // Every client has reached more than one replica: none was left out.
    for (const { byPort } of loads) expect(byPort.size).toBeGreaterThan(1);
  });
});

describe('a drain', () => {
  let plane: TestPlane;
  let alice: TestUser;
  let drained: Promise<void>;
  afterEach(async () => {
    await drained;
    await plane.guard.stop();
    await plane.upstream.close();
  });

  const ask = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`;

  async function start(): Promise<void> {
    plane = await startPlane();
    alice = await signIn(plane);
  }

  it('ends watches between two events, so that nothing is lost, and lets short requests finish', async () => {
    await start();
    const late = Promise.withResolvers<void>();
    plane.upstream.answer = (req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      if (req.url?.includes('watch') === true) {
        res.write(`${EVENT}${req.url.includes('half') ? '{"type":' : ''}`);
        if (req.url.includes('half')) void late.promise.then(() => res.write('"ADDED"}\n'));
      } else void late.promise.then(() => res.end('{}'));
    };
    const h2 = await http2Connection(plane, alice.certificate);
    const [watch, half, short] = [
      h2.open(alice, `${PODS}?watch=1`),
      h2.open(alice, `${PODS}?watch=1&half=1`),
      h2.open(alice, PODS),
    ];
    const [old, slow] = [await rawConnection(plane, alice.certificate), await rawConnection(plane, alice.certificate)];
    old.socket.write(ask(`${PODS}?watch=1`));
    slow.socket.write(ask(PODS));
    await until(() => plane.upstream.requests.length === 5 && old.received().includes('ADDED'), 'all of them open');
    await until(() => half.received().length > EVENT.length && watch.received() === EVENT, 'the events');
    drained = plane.listener.drain({ delay: 0, grace: 10 });
    expect(await watch.ended).toBe('end');
    await until(() => old.received().endsWith('0\r\n\r\n'), 'the end of the old watch');
    await until(() => h2.goaways.length > 0, 'GOAWAY');
    expect(half.received()).toBe(`${EVENT}{"type":`);
    late.resolve();
    expect(await half.ended).toBe('end');
    expect(half.received()).toBe(`${EVENT}{"type":"ADDED"}\n`);
    expect([await short.ended, short.received()]).toEqual(['end', '{}']);
    await until(() => slow.received().includes('{}'), 'the response over HTTP/1.1');
    const began = performance.now();
    await drained;
    expect(performance.now() - began).toBeLessThan(3_000);
    await h2.closed;
  });

  it('asks each client to reconnect in the second half of the delay, and accepts connections until its end', async () => {
    await start();
    plane.upstream.answer = answerJson({ kind: 'PodList' });
    const kept = await rawConnection(plane, alice.certificate);
    kept.socket.write(ask(PODS));
    await until(() => kept.received().includes('PodList'), 'an answer');
    expect(kept.received()).not.toMatch(/^connection: close/im);
    drained = plane.listener.drain({ delay: 1, grace: 10 });
    for (let closing = false; !closing;) {
      const fresh = await rawConnection(plane, alice.certificate);
      fresh.socket.write(ask(PODS));
      await until(() => fresh.received().includes('PodList'), 'a response during the delay');
      closing = /^connection: close/im.test(fresh.received());
      fresh.socket.destroy();
    }
    kept.socket.write(ask(PODS));
    expect(await kept.ended).toBe('end');
    expect(kept.received().match(/PodList/g)).toHaveLength(2);
    expect(plane.audited.every(({ responseStatus }) => responseStatus?.code === 200)).toBe(true);
  });

  it('gives requests in flight their grace period after the delay, also where the delay is the longer of the two', async () => {
    await start();
    const late = Promise.withResolvers<void>();
    plane.upstream.answer = (_req, res) => void late.promise.then(() => res.end('{}'));
    const slow = await rawConnection(plane, alice.certificate);
    slow.socket.write(ask(PODS));
    await until(() => plane.upstream.requests.length === 1, 'the request');
    const began = performance.now();
    drained = plane.listener.drain({ delay: 1, grace: 0.9 });
    await until(() => !plane.listener.server.listening, 'the end of the delay');
    expect(performance.now() - began).toBeGreaterThan(950);
    late.resolve();
    await until(() => slow.received().includes('{}'), 'the answer');
  });

  it('lets a request to a Portcullis endpoint finish, and waits for no event stream there', async () => {
    const slow = Promise.withResolvers<void>();
    plane = await startPlane({
      machineHandler: (req, res) => {
        if (req.url === '/-/events') res.write('event');
        else void slow.promise.then(() => res.end('revoked'));
      },
    });
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
    const [events, revocation] = [await rawConnection(plane, null), await rawConnection(plane, null)];
    events.socket.write(get('/-/events'));
    revocation.socket.write(get('/-/revocation'));
    await until(() => events.received().includes('event'), 'the first event');
    drained = plane.listener.drain({ delay: 0, grace: 20 });
    // Longer than the wait for the last connections.
    setTimeout(() => slow.resolve(), 2_500);
    await drained;
    expect(revocation.received()).toContain('revoked');
    expect(events.socket.destroyed || (await events.ended) !== '').toBe(true);
  });

  it('rejects a new watch, so that the client opens it elsewhere, and cuts remaining streams at the end of the grace period', async () => {
    await start();
    plane.upstream.answer = (_req, res) => void res.writeHead(200, { 'content-type': 'text/plain' }).write('a line\n');
    const h2 = await http2Connection(plane, alice.certificate);
    const follow = h2.open(alice, `${PODS}/web-1/log?follow=1`);
    const kept = await rawConnection(plane, alice.certificate);
    kept.socket.write(ask(`${PODS}/web-1/log`));
    await until(() => follow.received() !== '' && kept.received().includes('a line'), 'both');
    drained = plane.listener.drain({ delay: 0, grace: 0.4 });
    expect(await follow.ended).not.toBe('end');
    expect(['ECONNRESET', 'ECONNABORTED']).toContain(await kept.ended);
    await drained;
    expect(plane.audited.at(-1)?.annotations['portcullis.dev/reason']).toBe('shutdown');
  });

  it('does not wait for connections that send nothing, or half a ClientHello', async () => {
    await start();
    const silent = await Promise.all(
      ['', '\u0016\u0003\u0001\u0002'].map(async (text) => {
        const socket = connect(plane.port, '127.0.0.1').on('error', () => undefined);
        await once(socket, 'connect');
        socket.write(text);
        return socket.resume();
      }),
    );
    drained = plane.listener.drain({ delay: 0, grace: 0.1 });
    // Less than a handshake may take.
    await expect.poll(() => silent.map(({ closed }) => closed), { timeout: 7_000 }).toEqual([true, true]);
    await drained;
  });
});
