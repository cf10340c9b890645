import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patiently } from '../../src/commands/patient-store.ts';
import type { AccessRole } from '../../src/core/access/role.ts';
import { grantKey } from '../../src/core/credential/revocation.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { digest } from '../../src/store/redis/keys.ts';
import { meaningOf } from '../../src/store/requests.ts';
import { delegate, selfToken } from '../support/delegation.ts';
import { served, type Answer, type OAuthClient } from '../support/oauth-client.ts';
import { startRedis } from '../support/redis.ts';
import { startSsoStage, type SsoStage } from '../support/sso-stage.ts';
import { signInAtTwoReplicas, type TwoReplicaUser } from '../support/two-replica-user.ts';

const PATH = '/-/access';
const ROLE: AccessRole = {
  name: 'shop-admins',
  description: 'Repairs in the shop.',
  groups: ['granted:shop-admins'],
  requesters: ['demo:developers'],
  approval: { groups: ['demo:admins'], count: 1 },
  longest: 3600,
};
const TWO: AccessRole = { ...ROLE, name: 'two', approval: { groups: ['demo:admins'], count: 2 } };
const BREAK_GLASS: AccessRole = { ...ROLE, name: 'break-glass', approval: 'none', reason: 'INC-[0-9]+' };

let stage: SsoStage;
let second: RunningServer;
let redis: Awaited<ReturnType<typeof startRedis>>;

beforeAll(async () => {
  redis = await startRedis();
  stage = await startSsoStage({
    redis: redis.url,
    change: (config) => ({
      limits: { ...config.limits, signInsPerMinute: 1000 },
      // Everyone at this provider has typed a password an hour ago.
      access: { roles: [ROLE, TWO, BREAK_GLASS], freshness: 7200, notify: [] },
    }),
  });
  second = await stage.replica();
});

afterAll(async () => {
  await stage.stop();
  await redis.stop();
});

/** A user at their machine, with a token for their own sessions, at both replicas. */
interface Machine extends TwoReplicaUser {
  call(method: 'GET' | 'POST' | 'DELETE', path?: string, body?: unknown): Promise<Answer>;
  callElsewhere(method: 'GET' | 'POST' | 'DELETE', path?: string, body?: unknown): Promise<Answer>;
}

async function machine(user: string): Promise<Machine> {
  stage.sso.user = user;
  const signedIn = await signInAtTwoReplicas(stage, second);
  const { client, elsewhere, self } = signedIn;
  const at =
    (where: OAuthClient) =>
    (method: 'GET' | 'POST' | 'DELETE', path = '', body?: unknown): Promise<Answer> =>
      served(() => send(where, self, { method, path, body }));
  return { ...signedIn, call: at(client), callElsewhere: at(elsewhere) };
}

const send = (
  client: OAuthClient,
  token: string,
  {
    method,
    path,
    body,
  }: { readonly method: 'GET' | 'POST' | 'DELETE'; readonly path: string; readonly body?: unknown },
): Promise<Answer> =>
  client.send(method, `${PATH}${path}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });

const ask = (role = ROLE.name, reason = 'INC-4711'): object => ({ role, seconds: 600, reason });
const idOf = ({ body }: Answer): string => String(body['id']);
const codeOf = ({ status, body }: Answer): string => `${status} ${String(body['code'])}`;

async function until<T>(read: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    await pause(100);
  }
}

const endOf = (id: string) =>
  until(async () =>
    (await stage.events('access-ended')).find(({ annotations }) => annotations['portcullis.dev/grant-id'] === id),
  );

describe('access requests, with two replicas on Redis and a real provider', () => {
  test('an approval at one replica gives the role at the other, and its user ends it with a receipt of both', async () => {
    const [alice, bob] = [await machine('alice'), await machine('bob')];
    const asked = await alice.call('POST', '', ask());
    expect(asked).toMatchObject({ status: 201, body: { state: 'open', needed: 1, may: ['withdraw'] } });
    expect(asked.body['link']).toBe(`${stage.web}/access/${idOf(asked)}`);
    const waits = alice.call('GET', `/${idOf(asked)}?wait=25`);
    const queue = await bob.callElsewhere('GET');
    expect(queue.body['queue']).toMatchObject([{ id: idOf(asked), may: ['approve', 'deny'], user: 'demo:alice' }]);
    const approved = await bob.callElsewhere('POST', `/${idOf(asked)}/approve`, { reason: 'ok' });
    expect(approved).toMatchObject({ status: 200, body: { state: 'granted', may: ['end'] } });
    expect(JSON.stringify(approved.body)).not.toMatch(/knownAs|@demo\.example/);
    expect(await waits).toMatchObject({ status: 200, body: { state: 'granted' } });
    const ended = await alice.call('DELETE', `/${idOf(asked)}?reason=done`);
    expect(ended).toMatchObject({ status: 200, body: { complete: true, sessions: 0 } });
    expect(ended.body['replicas']).toHaveLength(2);
    expect((await alice.call('GET', `/${idOf(asked)}`)).body).toMatchObject({
      state: 'ended',
      grant: { ending: 'user', endedBy: 'demo:alice', revocation: ended.body['id'] },
    });
    expect((await endOf(idOf(asked))).annotations).toMatchObject({ 'portcullis.dev/complete': 'true' });
  });

  test('two approvals at two replicas at once both count, and the grant begins once', async () => {
    const [alice, bob, carol] = [await machine('alice'), await machine('bob'), await machine('carol')];
    const id = idOf(await alice.call('POST', '', ask('two')));
    const [one, other] = await Promise.all([
      bob.call('POST', `/${id}/approve`, {}),
      carol.callElsewhere('POST', `/${id}/approve`, {}),
    ]);
    expect([one.status, other.status]).toEqual([200, 200]);
    expect(codeOf(await bob.call('POST', `/${id}/approve`, {}))).toBe('409 request_granted');
    const stored = await patiently(() => stage.server.store.access.find(id));
    expect(stored?.request).toMatchObject({ state: 'granted', decisions: [{ approved: true }, { approved: true }] });
    const begun = (await stage.events('access-begun')).filter(
      ({ annotations }) => annotations['portcullis.dev/grant-id'] === id,
    );
    expect(begun).toHaveLength(1);
    await alice.call('DELETE', `/${id}`);
  });

  test('the requester approves by no account, no admin’s rights and no delegated session', async () => {
    const [alice, shouting] = [await machine('alice'), await machine('ALICE')];
    const id = idOf(await alice.call('POST', '', ask()));
    expect(codeOf(await alice.call('POST', `/${id}/approve`, {}))).toBe('403 own_request');
    // Another account, which is among the approvers, with the same name and address in other case.
    expect(codeOf(await shouting.call('POST', `/${id}/approve`, {}))).toBe('403 own_request');
    const bob = await machine('bob');
    const child = await delegate(bob.client, bob.refreshToken);
    const token = await selfToken(child.client, child.refreshToken);
    for (const call of [
      { method: 'POST', path: `/${id}/approve`, body: {} },
      { method: 'POST', path: '', body: ask() },
      { method: 'GET', path: '' },
    ] as const) {
      expect(codeOf(await send(child.client, token, call))).toBe('403 delegated_session');
    }
    const [refused] = (await stage.events('access-refused')).slice(-1);
    expect(refused?.annotations).toMatchObject({ 'portcullis.dev/actor': 'claude' });
    expect(await alice.call('DELETE', `/${id}`)).toMatchObject({ status: 200, body: { withdrawn: true } });
    expect(codeOf(await bob.call('POST', `/${id}/approve`, {}))).toBe('409 request_withdrawn');
    await child.client.close();
  });

  test('hostile calls are rejected with what to do, and change nothing', async () => {
    const [alice, bob] = [await machine('alice'), await machine('bob')];
    const rows: readonly (readonly [Promise<Answer>, string])[] = [
      [alice.call('POST', '', '{"role":'), '400 bad_request'],
      [alice.call('POST', '', { ...ask(), groups: ['system:masters'] }), '400 bad_request'],
      [alice.call('POST', '', { ...ask(), seconds: '600' }), '400 bad_request'],
      [alice.call('POST', '', ask('shop-admins', 'x'.repeat(40_000))), '413 bad_request'],
      [alice.call('POST', '', ask('shop-admins', 'x'.repeat(501))), '400 reason_malformed'],
      [alice.call('POST', '', ask('break-glass', 'because')), '400 reason_needed'],
      [alice.call('POST', '', ask('system:masters')), '404 role_not_found'],
      [bob.call('POST', '', ask()), '404 role_not_found'],
      [bob.call('GET', '/nothing'), '404 request_not_found'],
      [bob.call('GET', '/%2e%2e'), '404 not_found'],
      [bob.call('GET', '/nothing?wait=26'), '400 bad_request'],
      [bob.call('POST', '/nothing'), '405 method_not_allowed'],
      [bob.call('GET', '/nothing/approve'), '405 method_not_allowed'],
      [bob.call('GET', '/nothing/else'), '404 not_found'],
      [send(bob.client, bob.accessToken, { method: 'GET', path: '' }), '401 unauthenticated'],
      [send(alice.client, bob.self, { method: 'GET', path: '' }), '401 unauthenticated'],
    ];
    expect(await Promise.all(rows.map(async ([answer]) => codeOf(await answer)))).toEqual(rows.map(([, code]) => code));
    expect((await alice.call('GET')).body['roles']).toMatchObject([
      { name: 'shop-admins', needed: 1 },
      { name: 'two', needed: 2 },
      { name: 'break-glass', needed: 0, reason: 'INC-[0-9]+' },
    ]);
    expect((await bob.call('GET')).body['roles']).toEqual([]);
  });

  test('a grant is ended by its time, also where the replica that claimed its end has died', async () => {
    const alice = await machine('alice');
    const { access } = stage.server.store;
    const id = idOf(await alice.call('POST', '', ask('two')));
    const read = await patiently(() => access.find(id));
    if (read === undefined) throw new Error('no request');
    await patiently(() => access.begin(read, { ...read.request, state: 'granted' }, 1));
    await patiently(() => access.claimEnding(id, 'a replica that is gone', 3));
    const { annotations } = await endOf(id);
    expect(annotations).toMatchObject({ 'portcullis.dev/ending': 'expired', 'portcullis.dev/complete': 'true' });
    expect(annotations['portcullis.dev/receipts']?.split(' ')).toHaveLength(2);
    expect((await alice.call('GET', `/${id}`)).body).toMatchObject({ state: 'ended', grant: { ending: 'expired' } });
  });

  test('a grant whose begin no one learned of is audited by one of the replicas', async () => {
    const alice = await machine('alice');
    const { access } = stage.server.store;
    const id = idOf(await alice.call('POST', '', ask()));
    const read = await patiently(() => access.find(id));
    if (read === undefined) throw new Error('no request');
    await patiently(() => access.begin(read, { ...read.request, state: 'granted' }, 600));
    const begun = async () =>
      (await stage.events('access-begun')).filter(({ annotations }) => annotations['portcullis.dev/grant-id'] === id);
    await until(async () => ((await begun()).length === 0 ? undefined : true));
    // Noted once its event is written.
    await until(async () => (await patiently(() => access.find(id)))?.request.grant?.audited);
    await alice.call('DELETE', `/${id}`);
    await endOf(id);
    expect(await begun()).toHaveLength(1);
  });

  test('an attacker who can write to Redis has no end taken for one that was written already', async () => {
    const alice = await machine('alice');
    const granted = await alice.call('POST', '', ask('break-glass'));
    const [id, session] = [idOf(granted), alice.session];
    const { log } = stage.server.store;
    const { epoch, number } = await patiently(() => log.position());
    // A UUID that follows from the grant, as its revocation had it once.
    const hex = createHash('sha256').update(`end of grant ${id}`).digest('hex');
    const guessed = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
    const asked = digest(meaningOf({ target: { kind: 'grant', grant: id, session } }));
    const attacker = new Redis(redis.url);
    const known = { ep: epoch, until: Date.now() + 3_600_000, asked, n: number, sessions: 0 };
    await attacker.hset(`{portcullis-demo}:request:${digest(guessed)}`, known);
    await attacker.quit();
    await alice.call('DELETE', `/${id}`);
    const { live } = await patiently(() => log.join(300));
    expect(live.map(({ change }) => change.kind === 'revoked' && change.key)).toContain(grantKey(id));
  });

  test('a grant ends by an approver, and with its session', async () => {
    const [alice, bob] = [await machine('alice'), await machine('bob')];
    const glass = await alice.call('POST', '', ask('break-glass'));
    expect(glass).toMatchObject({ status: 201, body: { state: 'granted', needed: 0 } });
    // Break-glass has no approvers, and an admin’s sign-in of an hour ago is too old for a change.
    expect(codeOf(await bob.call('DELETE', `/${idOf(glass)}`))).toBe('401 fresh_sign_in_needed');
    const id = idOf(await alice.call('POST', '', ask()));
    expect(await bob.call('POST', `/${id}/approve`, {})).toMatchObject({ status: 200, body: { state: 'granted' } });
    expect(await bob.callElsewhere('DELETE', `/${id}`)).toMatchObject({ status: 200, body: { complete: true } });
    expect((await endOf(id)).annotations).toMatchObject({ 'portcullis.dev/ending': 'approver' });
    await alice.client.revoke(alice.refreshToken);
    expect((await endOf(idOf(glass))).annotations).toMatchObject({ 'portcullis.dev/ending': 'session' });
  });

  test('with as many open requests of a role as may be, an approver sees all, and the next one is told', async () => {
    const [alice, bob] = [await machine('alice'), await machine('bob')];
    const own = await patiently(() => stage.server.store.sessions.read(alice.session));
    if (own === undefined) throw new Error('no session');
    const { store } = stage.server;
    const asked = idOf(await alice.call('POST', '', ask()));
    const template = (await patiently(() => store.access.find(asked)))?.request;
    if (template === undefined) throw new Error('no request');
    await alice.call('DELETE', `/${template.id}`);
    const { version: _v, lastUsedAt: _l, checkedAt: _c, thumbprint: _t, ...session } = own;
    await Promise.all(
      Array.from({ length: 25 }, async (_one, user) => {
        const account = `demo/user-${user}` as const;
        const opened = await patiently(() => store.sessions.open({ ...session, id: `many-${user}`, account }, {}));
        if (!opened.ok) throw new Error(opened.reason);
        for (let count = 0; count < 10; count += 1) {
          const id = `many-${user}-${count}`;
          await patiently(() =>
            store.access.create({ ...template, id, account, session: `many-${user}`, knownAs: [id] }),
          );
        }
      }),
    );
    const queue: unknown[] = [];
    let query = '?limit=100';
    for (let cursor: unknown = ''; cursor !== undefined;) {
      const { status, body } = await bob.callElsewhere('GET', query);
      expect(status).toBe(200);
      expect((body['queue'] as readonly unknown[]).length).toBeLessThanOrEqual(100);
      queue.push(...(body['queue'] as readonly unknown[]));
      ({ cursor } = body);
      query = `?${new URLSearchParams({ limit: '100', cursor: String(cursor) }).toString()}`;
    }
    expect(queue).toHaveLength(250);
    // Of one account, one list after the other: a few wait, and no more.
    const atOnce = await Promise.all(Array.from({ length: 20 }, () => bob.callElsewhere('GET')));
    const tooMany = atOnce.filter(({ status }) => status === 429);
    expect(tooMany.length).toBeGreaterThan(0);
    expect(atOnce.length - tooMany.length).toBeGreaterThan(4);
    expect(tooMany[0]).toMatchObject({ headers: { 'retry-after': '1' }, body: { code: 'too_many_requests' } });
    expect(codeOf(await alice.call('POST', '', ask()))).toBe('409 requests_too_many');
    expect(await alice.call('POST', '', ask('two'))).toMatchObject({ status: 201 });
  });

  test('a grant that Redis has forgotten is audited as ended with its session', async () => {
    const alice = await machine('alice');
    const isActive = async (count: RegExp): Promise<true | undefined> => {
      const metrics = await (await fetch(`http://127.0.0.1:${stage.server.ports.ops}/metrics`)).text();
      const line = metrics.match(/^portcullis_access_grants_active\{[^}]*role="break-glass"[^}]*\} (\d+)$/m);
      return count.test(line?.[1] ?? '') ? true : undefined;
    };
    // Those of other tests are over, so that the next one that this replica sees is this one.
    await until(() => isActive(/^0$/));
    const id = idOf(await alice.call('POST', '', ask('break-glass')));
    await until(() => isActive(/^1$/));
    await redis.restart();
    const { annotations } = await endOf(id);
    expect(annotations).toMatchObject({
      'portcullis.dev/ending': 'session',
      'portcullis.dev/account': expect.any(String),
    });
  });
});
