/**
 * A replica that is too busy to read its messages in time, because it closes very many streams: its clocks go on while the replies of
 * Redis wait to be read.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_AUDIENCE } from '../../src/core/core.ts';
import type { CutReason } from '../../src/revocation/revocation.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from '../support/audit-log.ts';
import { busyFor, openCrowd } from '../support/busy.ts';
import { signIn, startPlane, until } from '../support/data-plane.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { http2Connection } from '../support/http2-client.ts';
import type { OAuthClient, Answer } from '../support/oauth-client.ts';

const ALICE = { session: 'session', account: 'demo/alice', provider: 'demo' } as const;

describe('two replicas on Redis', () => {
  let instance: TestInstance;
  let other: RunningServer;
  let root: OAuthClient;
  let token: string;
  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    other = await instance.replica({ name: 'other' });
    root = await instance.connect();
    token = (await root.signIn('root', { resource: ADMIN_AUDIENCE })).accessToken;
  });
  afterAll(() => instance.stop());

  const PATH = '/-/admin/api/v1/revocations';
  const revokeAlice = () => root.postJson(PATH, token, { account: ALICE.account, reason: 'INC-4711' });

  /** Reads the receipt until it is final: on a busy machine that may take longer than an admin waits. */
  async function untilComplete({ body: { id, complete } }: Answer): Promise<void> {
    while (complete !== true) ({ complete } = (await root.get(`${PATH}/${String(id)}`, token)).body);
  }

  it('report a revocation as complete, and audit its receipts, when closing one stream takes longer than the timeout of Redis', async () => {
    openCrowd(instance.server.guard, ALICE, { count: 1, ms: 600 });
    expect(await revokeAlice()).toMatchObject({ status: 200, body: { complete: true, streamsClosed: 1 } });
    const events = (await auditedBy(instance)).filter(({ verb }) => verb === 'revocation');
    expect(events).toMatchObject([
      {
        responseStatus: { code: 200 },
        annotations: {
          'portcullis.dev/complete': 'true',
          'portcullis.dev/receipts': expect.stringMatching(/^\S+=applied other=applied$/) as string,
        },
      },
    ]);
  });

  it.each(['the asked replica', 'another replica'])(
    'report a revocation as complete only when %s has closed the last stream',
    async (where) => {
      const server = where === 'another replica' ? other : instance.server;
      const { closed } = openCrowd(server.guard, ALICE, { count: 1000, ms: 0.3 });
      await untilComplete(await revokeAlice());
      expect(closed()).toBe(1000);
    },
  );

  it('fence a replica that was busy for longer than its lease, although the reply to its renewal came in time', async () => {
    const cuts: CutReason[] = [];
    instance.server.guard.register({ cut: (reason) => void cuts.push(reason) });
    await instance.server.guard.refresh();
    // A renewal is under way, and its reply will have come.
    void instance.server.guard.refresh();
    busyFor(2300);
    expect(instance.server.guard.fenced).toBe(true);
    await expect.poll(() => cuts).toEqual(['fenced']);
    await expect.poll(() => instance.server.guard.fenced).toBe(false);
  });
});

describe('a stream that waits to be closed', () => {
  it('forwards no more bytes, and is closed immediately when a byte arrives', async () => {
    const plane = await startPlane();
    const alice = await signIn(plane);
    const { account, provider, id: session } = alice.session;
    const crowd = openCrowd(plane.guard, { session, account, provider }, { count: 1000, ms: 0.3 });
    const event = (name: string): string => `{"type":"ADDED","object":{"name":"${name}"}}\n`;
    let write: ((text: string) => void) | undefined;
    plane.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write(event('before'));
      write = (text) => void res.write(text);
    };
    const h2 = await http2Connection(plane, alice.certificate);
    const watch = h2.open(alice, '/api/v1/pods?watch=1');
    await until(() => watch.received() === event('before'), 'the first event');
    const revoked = plane.guard.revoke({ target: { kind: 'account', account } });
    write?.(event('after'));
    expect(await watch.ended).toBe('INTERNAL_ERROR');
    // This stream was the last one in the queue.
    expect(crowd.closed()).toBeLessThan(1000);
    expect(watch.received()).not.toContain('after');
    expect(await revoked).toMatchObject({ streamsClosed: 1001 });
    await expect.poll(crowd.closed).toBe(1000);
    h2.close();
    await plane.close();
  });
});
