/**
 * Redis hangs, and an admin revokes at a replica that has not met them yet: nothing can be written, and their session cannot be read. The
 * replica that was asked closes its own revocation guard nevertheless.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { USERS } from '../../demo/demo.ts';
import { Visitor } from '../../demo/visitor.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, type OAuthClient } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';

describe('a revocation while Redis hangs', () => {
  let redis: RedisServer;
  let instance: TestInstance;
  let asked: RunningServer;
  /** Beside it: one for which every sign-in is too old. */
  let strict: RunningServer;
  let auditLog: string;

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
    auditLog = `${instance.files.directory}/asked.log`;
    asked = await startAsked('asked', auditLog);
    strict = await startAsked('strict', `${instance.files.directory}/strict.log`, -100);
  });
  afterEach(() => redis.resume());
  afterAll(async () => {
    redis.resume();
    await instance.stop();
    await redis.stop();
  });

  /** A replica with its own log, whose lease outlasts the test: it rejects by its revocation guard meanwhile. */
  const startAsked = (name: string, path: string, freshness?: number): Promise<RunningServer> =>
    instance.replica({
      name,
      loaded: (config) => ({
        ...config,
        revocation: { ...config.revocation, staleness: 60 },
        audit: { ...config.audit, sinks: [{ type: 'file', path }] },
        admin: { ...config.admin, ...(freshness === undefined ? {} : { freshness }) },
      }),
    });

  const at = (replica: RunningServer): Promise<OAuthClient> => instance.connect({ at: replica });

  /** Signs in at the other replica: the user is unknown to this one. */
  async function signedInElsewhere(replica: RunningServer, who: string, resource: string) {
    const key = await newClientKey();
    const there = await instance.connect({ key });
    const { accessToken, session } = await there.signIn(who, { resource });
    return { client: await instance.connect({ key, at: replica }), token: accessToken, session, key };
  }

  const revoke = ({ client, token }: { readonly client: OAuthClient; readonly token: string }, body: object) =>
    client.postJson('/-/admin/api/v1/revocations', token, { reason: 'INC-4711', ...body });

  async function audited(event: string): Promise<readonly AuditEvent[]> {
    await asked.audit.flush();
    const lines = (await readFile(auditLog, 'utf8')).split('\n').filter((line) => line !== '');
    return lines
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(({ annotations }) => annotations['portcullis.dev/event'] === event);
  }

  it('relies on tokens: only an admin’s token for the admin API has the role and the time of the sign-in', async () => {
    const root = await signedInElsewhere(asked, 'root', ADMIN_AUDIENCE);
    expect(decodeJwt(root.token)).toMatchObject({ roles: ['admin'], auth_time: expect.any(Number) });
    const others = [
      await signedInElsewhere(asked, 'root', clusterAudience('demo')),
      await signedInElsewhere(asked, 'vera', ADMIN_AUDIENCE),
    ];
    for (const other of others) {
      const claims = decodeJwt(other.token);
      expect('roles' in claims || 'auth_time' in claims).toBe(false);
    }
  });

  it('blocks the target at the replica that is asked, for an admin unknown to it, and audits the end of the block', async () => {
    const [alice, bob, root] = await Promise.all([
      signedInElsewhere(asked, 'alice', clusterAudience('demo')),
      signedInElsewhere(asked, 'bob', clusterAudience('demo')),
      signedInElsewhere(asked, 'root', ADMIN_AUDIENCE),
    ]);
    expect(await alice.client.get(PODS, alice.token)).toMatchObject({ status: 200 });
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
    redis.pause();
    const answer = await revoke(root, { account: 'demo/alice' });
    expect(answer).toMatchObject({ status: 503, body: { code: 'revocation_not_written' } });
    const heldUntil = String(answer.body['heldUntil']);
    // What the command line and the pages show.
    expect(answer.body['detail']).toContain(`until ${heldUntil}`);
    expect(Date.parse(heldUntil) - Date.now()).toBeGreaterThan(800_000);
    expect(Date.parse(heldUntil) - Date.now()).toBeLessThanOrEqual(900_000);
    expect(await alice.client.get(PODS, alice.token)).toMatchObject({ status: 401 });
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
    expect(await audited('revocation')).toMatchObject([
      {
        user: { uid: 'demo/root' },
        responseStatus: { code: 503 },
        annotations: {
          'portcullis.dev/account': 'demo/root',
          'portcullis.dev/target': 'account:demo/alice',
          'portcullis.dev/reason': 'INC-4711',
          'portcullis.dev/outcome': 'revocation_not_written',
          'portcullis.dev/held-until': heldUntil,
        },
      },
    ]);

    redis.resume();
    await expect
      .poll(() =>
        asked.store.ping().then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    // Nothing was written: other replicas admit alice; this one does when the revocation arrives and she has signed in again.
    expect(await alice.client.get(PODS, alice.token)).toMatchObject({ status: 401 });
    const elsewhere = await instance.connect({ key: alice.key });
    await expect.poll(async () => (await elsewhere.get(PODS, alice.token)).status).toBe(200);
    const root2 = { ...root, client: await instance.connect({ key: root.key }) };
    expect([200, 202]).toContain((await revoke(root2, { account: 'demo/alice' })).status);
    const again = await signedInElsewhere(asked, 'alice', clusterAudience('demo'));
    await expect.poll(async () => (await again.client.get(PODS, again.token)).status).toBe(200);
  });

  it('does nothing else for this admin', async () => {
    const [bob, root] = await Promise.all([
      signedInElsewhere(asked, 'bob', clusterAudience('demo')),
      signedInElsewhere(asked, 'root', ADMIN_AUDIENCE),
    ]);
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
    redis.pause();
    const headers = { authorization: `Bearer ${root.token}` };
    for (const [method, path] of [
      ['DELETE', 'locks/demo%2Fbob?reason=x'],
      ['GET', 'replicas'],
    ] as const) {
      const refused = await root.client.send(method, `/-/admin/api/v1/${path}`, { headers });
      expect(refused).toMatchObject({ status: 503, body: { code: 'store_unavailable' } });
    }
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
  });

  it('does it for no other caller: no auditor, no token without its key, no admin whose sign-in is too old', async () => {
    const [bob, vera, root] = await Promise.all([
      signedInElsewhere(asked, 'bob', clusterAudience('demo')),
      signedInElsewhere(asked, 'vera', ADMIN_AUDIENCE),
      signedInElsewhere(asked, 'root', ADMIN_AUDIENCE),
    ]);
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
    const atStrict = await instance.connect({ key: root.key, at: strict });
    redis.pause();
    const stale = await revoke({ client: atStrict, token: root.token }, { account: 'demo/bob' });
    expect(stale).toMatchObject({ status: 401, body: { code: 'fresh_sign_in_needed' } });
    const refused = await revoke(vera, { account: 'demo/bob' });
    expect(refused).toMatchObject({ status: 503, body: { code: 'store_unavailable' } });
    const thief = { client: await at(asked), token: root.token };
    expect(await revoke(thief, { account: 'demo/bob' })).toMatchObject({ status: 401 });
    expect(await bob.client.get(PODS, bob.token)).toMatchObject({ status: 403 });
  });

  it('is given back by the page, which says that nothing was done, and is sent again once the store is back', async () => {
    const user = USERS.find(({ name }) => name === 'root');
    if (user === undefined) throw new Error('there is no root');
    const root = new Visitor(user);
    await root.visit(`${instance.urls.web}/login/start?provider=demo&to=me`);
    const page = `${instance.urls.web}/admin/revoke`;
    const { html } = await root.visit(`${page}?kind=provider&value=demo`);
    const csrf = /name="csrf" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const sent = { csrf, kind: 'provider', value: 'demo', word: 'demo', reason: 'INC-<1>', requestId: randomUUID() };
    redis.pause();
    const unsent = await root.visit(page, new URLSearchParams(sent));
    redis.resume();
    expect(unsent.status).toBe(503);
    expect(unsent.html).toMatch(/Nothing was revoked\.[^]*name="reason"\s+value="INC-&lt;1&gt;"/);
    const again = async () => (await root.visit(page, new URLSearchParams(sent))).html;
    await expect.poll(again, { timeout: 20_000 }).toContain('You have revoked your own session with it');
  });
});
