import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { parse } from 'yaml';
import { makeKey } from '../../../src/config/generate-keys.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import type { RevocationReceipt } from '../../../src/services/admin/revocation-results.ts';
import type { RunningServer } from '../../../src/server/serve.ts';
import { writeInstanceFile } from '../../fixtures/instance-file.ts';
import { startServing } from '../../fixtures/serving.ts';
import { delegate } from '../../support/delegation.ts';
import { freePortBase, startTestInstance, type TestInstance } from '../../support/instance.ts';
import {
  newClientKey,
  OAuthClient,
  type ClientKey,
  type Endpoints,
  type SignedIn,
} from '../../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../../support/redis.ts';
import { ShellTerminal } from '../../support/shell-terminal.ts';
import { ROOT } from '../../unit/docs/markdown.ts';
import { audited, begin, configWith, HURRIED, portcullis, portcullisInTurn, type Ended } from './on-server.ts';

describe('revoke and lock --config, on the server’s own shell', { timeout: 120_000 }, () => {
  const PODS = '/api/v1/namespaces/default/pods';
  const SHELL = expect.stringMatching(/.+@.+/) as string;
  let redis: RedisServer;
  let instance: TestInstance;
  let second: RunningServer;
  let endpoints: Endpoints;
  let root: OAuthClient;
  let rootToken: string;
  let clients: OAuthClient[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    instance = await startTestInstance({ redis: redis.url });
    second = await instance.replica({ name: 'second' });
    endpoints = instance;
    root = new OAuthClient(endpoints, await newClientKey());
    const signIn = () => root.signIn('root', { resource: 'urn:portcullis:admin' });
    rootToken = (await vi.waitFor(signIn, { timeout: 60_000 })).accessToken;
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close()));
    clients = [];
  });
  afterAll(async () => {
    await root.close();
    await instance.stop();
    await redis.stop();
  });

  const revoke = (...args: readonly string[]): Promise<Ended> =>
    portcullis('revoke', '--config', instance.files.config, '--reason', 'INC-4711', ...args);

  const api = (method: 'GET' | 'POST', path: string, body?: object) =>
    root.send(method, `/-/admin/api/v1/${path}`, {
      headers: { authorization: `Bearer ${rootToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  async function signIn(user: string): Promise<SignedIn & { readonly client: OAuthClient; readonly key: ClientKey }> {
    const key = await newClientKey();
    const client = new OAuthClient(endpoints, key);
    clients.push(client);
    // A busy machine takes a sign-in as far as an unavailable store.
    return { ...(await vi.waitFor(() => client.signIn(user), { timeout: 60_000 })), client, key };
  }

  /** @returns `ECONNRESET` once it was cut, undefined once it ended normally */
  async function watchAt(port: number, { key, accessToken }: { key: ClientKey; accessToken: string }) {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: endpoints.ca, ...key });
    let [text, code] = ['', undefined as string | undefined];
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
    const ended = new Promise<string | undefined>((resolve) => socket.once('close', () => resolve(code)));
    await once(socket, 'secureConnect');
    socket.write(`GET ${PODS}?watch=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${accessToken}\r\n\r\n`);
    await expect.poll(() => text, { timeout: 20_000 }).toContain('"ADDED"');
    // In an object, because a promise of a promise would wait for the end.
    return { ended };
  }

  /** Signs in with a delegated session beneath and a watch at each replica, and revokes the user. */
  async function revokeWatching() {
    const alice = await signIn('alice');
    const child = await delegate(alice.client, alice.refreshToken);
    clients.push(child.client);
    const ports = [instance.server.ports.api, second.ports.api];
    const watches = await Promise.all(ports.map((port) => watchAt(port, alice)));
    const { code, stdout, stderr } = await revoke('--username', 'demo:alice', '--output', 'json');
    expect(code, stderr).toBe(0);
    const ended = await Promise.all(watches.map((watch) => watch.ended));
    return { alice, child, ended, receipt: JSON.parse(stdout) as RevocationReceipt };
  }

  test('cuts a watch at each of two replicas, counts their receipts, and audits it as the admin API does', async () => {
    let revoked = await revokeWatching();
    // A busy machine may lose a lease, which cuts the watch before the revocation does.
    while (revoked.receipt.streamsClosed < 2) revoked = await revokeWatching();
    const { alice, child, ended, receipt } = revoked;
    expect(ended).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(receipt).toMatchObject({ complete: true, target: 'account:demo/alice', reason: 'INC-4711', by: SHELL });
    expect(receipt).toMatchObject({ sessions: 2, delegated: [{ id: child.item.id }] });
    // The command itself serves nothing, so it is not among them.
    expect(receipt.replicas).toEqual([
      expect.objectContaining({ state: 'applied', streamsClosed: 1 }),
      expect.objectContaining({ state: 'applied', streamsClosed: 1 }),
    ]);
    expect((await alice.client.get(PODS, alice.accessToken)).status).toBe(401);
    expect((await alice.client.refresh(alice.refreshToken)).status).toBe(400);
    expect((await child.client.refresh(child.refreshToken)).status).toBe(400);
    // Every replica has the receipt, and forgets the command.
    expect((await api('GET', `revocations/${receipt.id}`)).body).toMatchObject({ complete: true, by: receipt.by });
    await expect.poll(() => instance.server.guard.replicas.map(({ id }) => id)).not.toContain(receipt.by);

    const bob = await signIn('bob');
    await delegate(bob.client, bob.refreshToken).then(({ client }) => clients.push(client));
    const { body } = await api('POST', 'revocations', { account: 'demo/bob', reason: 'INC-4711' });
    const eventOf = async (id: unknown) =>
      (await audited(instance, 'revocation')).find(({ auditID }) => auditID === id);
    await expect.poll(() => eventOf(body['auditId'])).toBeDefined();
    const [here, there] = [await eventOf(receipt.auditId), await eventOf(body['auditId'])];
    expect(here).toMatchObject({ user: {}, responseStatus: { code: 200 } });
    expect(here?.annotations).toMatchObject({
      'portcullis.dev/by': receipt.by,
      'portcullis.dev/target': 'account:demo/alice',
      'portcullis.dev/reason': 'INC-4711',
      'portcullis.dev/complete': 'true',
      'portcullis.dev/receipts': expect.stringContaining('second=applied'),
      'portcullis.dev/streams-closed': '2',
    });
    const facts = Object.keys(there?.annotations ?? {}).filter((fact) => !/\/(?:account|session)$/.test(fact));
    expect(Object.keys(here?.annotations ?? {}).toSorted()).toEqual([...facts, 'portcullis.dev/by'].toSorted());
  });

  test('locks without a second admin, also where only this pod has the newest key, and names the user of the shell', async () => {
    const { keys } = parse(await readFile(instance.files.config, 'utf8')) as { readonly keys: object };
    const sealingDir = join(instance.files.directory, 'sealing-of-this-pod');
    await cp(join(instance.files.directory, 'keys/sealing'), sealingDir, { recursive: true });
    const key = await makeKey('sealing', Math.floor(Date.now() / 1000) - 3600);
    await writeFile(join(sealingDir, 'rotated.json'), JSON.stringify(key), { mode: 0o600 });
    const admin = { groups: ['demo:admins'], dualControl: 'on' };
    const config = await configWith(instance, { admin, keys: { ...keys, sealingDir } });
    const locked = await portcullis('lock', '--config', config, 'demo/root', '--reason', 'INC-4712');
    expect(locked).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/^complete: \d+ sessions? ended/m),
    });
    // With a key that no replica has, the lock would be in no list, and be taken for one that was tampered with.
    for (const { store } of [instance.server, second])
      expect(await store.locks.list()).toEqual([
        expect.objectContaining({ account: 'demo/root', reason: 'INC-4712', by: SHELL }),
      ]);
    const [event] = await audited(instance, 'lock');
    expect(event?.annotations).toMatchObject({
      'portcullis.dev/target': 'account:demo/root',
      'portcullis.dev/reason': 'INC-4712',
      'portcullis.dev/by': SHELL,
    });
    await expect(root.signIn('root')).rejects.toThrow('no code came back');
    expect((await portcullis('unlock', '--config', config, 'demo/root')).code).toBe(0);
  });

  test('is complete once a replica that is stopped has provably lost its lease, and it passes nothing afterwards', async () => {
    const base = await freePortBase();
    const ports = { api: base, web: base + 1, ops: base + 2 };
    const config = await writeInstanceFile(instance.files, 'third', { ports });
    const third = await startServing({ root: ROOT, file: config, opsPort: ports.ops });
    onTestFinished(() => third.kill());
    const alice = await signIn('alice');
    const watch = await watchAt(ports.api, alice);
    process.kill(third.pid, 'SIGSTOP');
    const { code, stdout } = await revoke('--session', alice.session, '--output', 'json');
    expect(code).toBe(0);
    const { complete, replicas } = JSON.parse(stdout) as RevocationReceipt;
    expect(complete).toBe(true);
    expect(replicas.map(({ state }) => state).toSorted()).toEqual(['applied', 'applied', 'fenced']);
    process.kill(third.pid, 'SIGCONT');
    expect(await watch.ended).toBe('ECONNRESET');
  });

  test('audits a revocation also where it is interrupted before the proof', async () => {
    const { session } = await signIn('alice');
    const { config } = instance.files;
    const { child, ended } = begin([], 'revoke', '--config', config, '--session', session, '--reason', 'INC-4713');
    const isWritten = async () => (await instance.server.store.sessions.read(session)) === undefined;
    await expect.poll(isWritten, { interval: 20, timeout: 60_000 }).toBe(true);
    child.kill('SIGINT');
    // 0 where it came too late.
    expect([0, 5]).toContain((await ended).code);
    const events = await audited(instance, 'revocation');
    expect(events.at(-1)?.annotations).toMatchObject({
      'portcullis.dev/target': `session:${session}`,
      'portcullis.dev/reason': 'INC-4713',
    });
  });

  test('is complete with no replica, and says so', async () => {
    const { store } = parse(await readFile(instance.files.config, 'utf8')) as { readonly store: { redis: object } };
    const config = await configWith(instance, { store: { redis: { ...store.redis, prefix: 'no-replica' } } });
    const ended = await portcullis('revoke', '--config', config, '--provider', 'demo', '--reason', 'INC-4714');
    expect(ended).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/no replica is running now\ncomplete: 0 sessions ended, 0 streams cut, \d+ ms\n/),
    });
  });

  test('leaves standard output to the audit events, where that is the only sink', async () => {
    const config = await configWith(instance, { audit: { sinks: [{ type: 'stdout' }] } });
    const ended = await portcullis('lock', '--config', config, 'demo/bob', '--force', '--reason', 'INC-4715');
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringMatching(/^complete: [^]*keep it$/m) });
    const lines = ended.stdout.trim().split('\n');
    const verbs = lines.map((line) => (JSON.parse(line) as AuditEvent).verb);
    expect(verbs).toEqual(['audit-opened', 'revocation-begun', 'revocation', 'lock', 'audit-closed']);
    expect(await instance.server.store.locks.remove('demo/bob')).toBe(true);
  });

  test('is done and exits with 1 where the audit log cannot be written', async () => {
    // No program listens there.
    const config = await configWith(instance, {
      audit: { sinks: [{ type: 'webhook', url: 'http://127.0.0.1:9/audit' }] },
    });
    const ended = await portcullis('lock', '--config', config, 'demo/bob', '--force', '--reason', 'INC-4716');
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/^complete: [^]*event\(s\) are lost$/m) });
    expect(await instance.server.store.locks.remove('demo/bob')).toBe(true);
  });

  test('names what is wrong with a target, with an exit code for scripts and nothing in the audit log', async () => {
    const rows: readonly (readonly [number, string, readonly string[]])[] = [
      [2, 'exactly one target', []],
      [2, 'exactly one target', ['--all', '--provider', 'demo']],
      [2, 'an account is PROVIDER/SUBJECT', ['--account', 'alice']],
      [2, 'a lock is for one account', ['--provider', 'demo', '--lock']],
      [2, 'no terminal to ask', ['--all']],
      [2, 'An approval is for the admin API', ['--account', 'demo/alice', '--approval', 'id']],
      [4, 'no live session of this id', ['--session', 'none']],
      [4, 'No live session has this username', ['--username', 'demo:none']],
      [4, 'no identity provider of this name', ['--provider', 'dmeo']],
      [4, 'There are: demo', ['--account', 'dmeo/alice']],
      [4, 'no workload rule of this name', ['--workload', 'none', '--subject', 'none']],
      [1, 'the name may be mistyped', ['--account', 'demo/none', '--lock']],
      [1, 'the name may be mistyped', ['--account', 'demo/none']],
    ];
    const before = (await audited(instance, 'revocation')).length;
    const line = ['revoke', '--config', instance.files.config, '--reason', 'INC-4711'];
    const ended = await portcullisInTurn(rows.map(([, , args]) => [...line, ...args]));
    expect(ended).toEqual(rows.map(([code, said]) => ({ code, stdout: '', stderr: expect.stringContaining(said) })));
    expect(await audited(instance, 'revocation')).toHaveLength(before);
  });

  test('says on a terminal what it ends, and does nothing without the word', async () => {
    const { session } = await signIn('bob');
    const main = join(ROOT, 'src/main.ts');
    const line = `'${process.execPath}' '${main}' revoke --config '${instance.files.config}' --provider demo --reason x`;
    const terminal = new ShellTerminal(`stty cols 200; ${line}; echo "exit $?"`, process.env);
    onTestFinished(() => terminal.close());
    expect(await terminal.until(/Type demo to go on: $/)).toMatch(/all users of demo: [1-9]\d* sessions?\b/);
    terminal.type('yes\n');
    expect(await terminal.until(/exit \d+\s*$/)).toMatch(/Nothing was done[^]*exit 1\s*$/);
    expect(await instance.server.store.sessions.read(session)).toBeDefined();
  });

  test('exits with 2 for a lock without an account or a reason, and for an invalid configuration', async () => {
    const lock = ['lock', '--config', instance.files.config];
    const nowhere = ['lock', '--config', '/nonexistent.yaml', 'demo/bob', '--reason', 'INC'];
    expect(await portcullisInTurn([lock, [...lock, 'demo/bob'], nowhere])).toMatchObject([
      { code: 2, stderr: expect.stringContaining('an account') },
      { code: 2, stderr: expect.stringContaining('--reason') },
      { code: 2 },
    ]);
  });

  test('exits with 1 while the store is unavailable, with nothing in the audit log', async () => {
    const before = (await audited(instance, 'revocation')).length;
    redis.pause();
    const args = ['revoke', '--config', instance.files.config, '--account', 'demo/alice', '--reason', 'INC-4717'];
    const ended = await begin(HURRIED, ...args).ended;
    redis.resume();
    expect(ended).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('cannot reach its store') });
    expect(await audited(instance, 'revocation')).toHaveLength(before);
  });
});
