/** Delegated sessions at the command line, with the real server and the real kubectl. */
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RunningDemo } from '../../../demo/launch.ts';
import { startTestInstance } from '../../support/instance.ts';
import { CliContext, type Finished } from '../../support/kubectl.ts';

const run = promisify(execFile);

/** Of Debian, for what may do nothing. */
const OTHER_USER = 65_534;

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly rights: string;
  readonly recent: readonly { readonly verb: string; readonly code: number }[];
}

let instance: RunningDemo;
let alice: CliContext;
let folder: string;

beforeAll(async () => {
  instance = await startTestInstance();
  const { directory } = instance.files;
  alice = new CliContext(instance, 'alice', {
    PATH: [join(directory, 'bin'), process.env['PATH']].join(delimiter),
  });
});
afterAll(async () => {
  alice.close();
  await instance.stop();
});
beforeEach(async () => {
  folder = join(instance.files.directory, 'work');
  mkdirSync(folder);
  await alice.kubectl('get', 'pods'); // Signs in, where an earlier test has signed out.
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const delegate = (...args: string[]): Promise<Finished> => alice.portcullis('delegate', ...args);

async function listed(): Promise<readonly Listed[]> {
  const { stdout, all, code } = await alice.portcullis('delegations', '--output', 'json');
  expect(code, all).toBe(0);
  return (JSON.parse(stdout) as { delegations: Listed[] }).delegations;
}

const audited = (): readonly Record<string, unknown>[] =>
  readFileSync(join(instance.files.directory, 'audit.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const signIns = (): number =>
  audited().filter(({ annotations }) => (annotations as Record<string, string>)['portcullis.dev/event'] === 'sign-in')
    .length;

describe('with a command', () => {
  test('reads, and is refused the rest by name; it ends with the command, whose exit code counts', async () => {
    const script = [
      'echo "$PORTCULLIS_DELEGATED_DIR"',
      'kubectl get pods --output name',
      'kubectl delete pod web-1',
      'kubectl get secrets',
      'kubectl get pods --all-namespaces',
      'portcullis whoami',
      'portcullis sessions',
      'exit 7',
    ].join('\n');
    const args = ['--read-only', '--namespace', 'default', '--for', '30m', '--name', 'claude'];
    const ran = await delegate(...args, '--', 'sh', '-c', script);
    expect(ran.code, ran.all).toBe(7);
    expect(ran.stderr).toMatch(
      /^portcullis: delegated to "claude": read-only in default, at demo, until .* \(in (30m|29m\d+s)\)/m,
    );
    expect(ran.stdout).toContain('\npod/web-1\n');
    expect(ran.stdout).toMatch(/^ {2}delegated to "claude": read-only in default$/m);
    expect(ran.stderr).toMatch(
      /pods "web-1" is forbidden: .*this session was delegated to "claude": read-only in default/,
    );
    expect(ran.stderr).toMatch(/secrets is forbidden: .*delegated to "claude"/);
    expect(ran.stderr).toMatch(/pods is forbidden: .*delegated to "claude"/);
    expect(ran.stderr).toContain('A delegated session does not administer');
    expect((await alice.kubectl('get', 'pod', 'web-1')).code).toBe(0);
    expect(existsSync(ran.stdout.split('\n')[0] ?? '')).toBe(false);
    expect(await listed()).toEqual([]);
  });

  test('is narrowed further by what runs in it, never widened', async () => {
    const narrower = 'kubectl get pods --output name; kubectl get pods --all-namespaces --output name';
    const script = [
      `portcullis delegate --name reviewer --read-only --namespace default -- sh -c '${narrower}'`,
      `portcullis delegate --name wider --read-only --with-secrets -- kubectl get secrets --output name`,
      'portcullis delegations --output json',
    ].join('\n');
    const ran = await delegate('--read-only', '--name', 'claude', '--', 'sh', '-c', script);
    expect(ran.stdout).toContain('pod/web-2');
    expect(ran.stdout).not.toMatch(/^secret\//m);
    expect(ran.stderr).toMatch(/delegated to "claude\/reviewer": .*read-only in default/);
    expect(ran.stderr).toMatch(/pods is forbidden: .*delegated to "claude\/reviewer"/);
    expect(ran.stderr).toContain('(limits_beyond_parent)');
    // Each ended with its own command.
    expect(ran.stdout).toContain('"delegations": []');
  });

  test('ends with the user’s own session; the plugin says so, opens no browser, and signs no user in', async () => {
    const script = 'kubectl get pods --output name; until [ -e over ]; do sleep 0.1; done; kubectl get pods; exit 9';
    const command = ['--read-only', '--name', 'claude', '--', 'sh', '-c', `cd '${folder}'; ${script}`];
    const running = alice.openPortcullis('delegate', ...command);
    await running.until(/^pod\//m);
    const before = signIns();
    const out = await alice.portcullis('logout');
    expect(out.code, out.all).toBe(0);
    writeFileSync(join(folder, 'over'), '');
    const ran = await running.finished;
    expect(ran.code, ran.all).toBe(9);
    expect(ran.stderr).toContain('The session delegated to "claude" is over: ');
    expect(ran.stderr).not.toContain('could not be ended');
    expect(signIns()).toBe(before);
  });
});

describe('with --kubeconfig', () => {
  test('another user of the system works with the two files, elsewhere; it ends by its id', async () => {
    const file = join(folder, 'nightly.yaml');
    const rules = { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }], namespaces: ['default'] };
    writeFileSync(join(folder, 'rules.json'), JSON.stringify(rules));
    const kept = await delegate('--rules', join(folder, 'rules.json'), '--kubeconfig', file);
    expect(kept, kept.all).toMatchObject({ code: 0, stdout: `${file}\n` });
    const elsewhere = join(folder, 'mounted here');
    mkdirSync(elsewhere);
    await run('cp', ['-a', file, `${file}.d`, elsewhere]);
    // As docs/kubectl.md says: the file names its folder by the full path.
    const moved = join(elsewhere, 'nightly.yaml');
    writeFileSync(moved, readFileSync(moved, 'utf8').replace(`${file}.d`, `${moved}.d`));
    rmSync(`${file}.d`, { recursive: true });
    const asOther = process.getuid?.() === 0;
    if (asOther) {
      for (const path of [instance.files.directory, dirname(instance.files.command), folder]) chmodSync(path, 0o755);
      await run('chown', ['-R', `${OTHER_USER}:${OTHER_USER}`, elsewhere]);
    }
    const env = {
      ...alice.environment,
      HOME: elsewhere,
      KUBECACHEDIR: join(elsewhere, 'discovery'),
      PORTCULLIS_CACHE_DIR: '',
    };
    const get = async (): Promise<string> => {
      const args = ['--kubeconfig', './nightly.yaml', 'get', 'pod', 'web-2', '--output', 'name'];
      const user = asOther ? { uid: OTHER_USER, gid: OTHER_USER } : {};
      const ended = run('kubectl', args, { cwd: elsewhere, env, ...user });
      return ended.then(
        ({ stdout }) => stdout,
        (error: Error) => error.message,
      );
    };
    expect(await get()).toBe('pod/web-2\n');
    const [session] = await listed();
    expect(session).toMatchObject({ name: 'nightly' });
    const ended = await alice.portcullis('logout', '--session', session?.id?.slice(0, 8) ?? '');
    expect(ended.code, ended.all).toBe(0);
    expect(ended.stdout).toMatch(/^complete: 1 session ended/);
    expect(await get()).toContain('The session delegated to "nightly" is over: ');
    expect(await listed()).toEqual([]);
  });
});

test('sessions and logout --session are for one’s own where the user is no admin, and never for those of others', async () => {
  const at = (user: string, name: string): CliContext =>
    new CliContext(instance, user, { PORTCULLIS_CACHE_DIR: join(instance.files.directory, `cache-of-${name}`) });
  const [lost, bob] = [at('alice', 'the lost laptop'), at('bob', 'bob')];
  try {
    await delegate('--read-only', '--namespace', 'default', '--', 'true');
    const signedIn = await lost.portcullis('login', '--device-name', 'lost-laptop');
    expect(signedIn.code, signedIn.all).toBe(0);
    expect((await bob.portcullis('login')).code).toBe(0);
    const read = async (context: CliContext) => {
      const { stdout, all, code } = await context.portcullis('sessions', '--output', 'json');
      expect(code, all).toBe(0);
      return (JSON.parse(stdout) as { sessions: { id: string; username: string; self: boolean }[] }).sessions;
    };
    const own = await read(alice);
    expect(own.map(({ username }) => username)).toEqual(own.map(() => 'demo:alice'));
    expect(own.filter(({ self }) => self)).toHaveLength(1);
    const table = await alice.portcullis('sessions');
    expect(table.stdout).toMatch(/^DEVICE .*\n[^]*lost-laptop [^]*\(this one\)/);
    expect(table.stderr).toContain('neither an admin nor an auditor');
    // A filter is the admins’: what it leaves out must not be taken for nothing.
    expect(await alice.portcullis('sessions', '--idle', '1h')).toMatchObject({ code: 3, stdout: '' });

    const [bobs] = await read(bob);
    const others = await alice.portcullis('logout', '--session', bobs?.id ?? '');
    expect(others).toMatchObject({ code: 4, stdout: '' });
    expect((await bob.portcullis('whoami')).code).toBe(0);

    const [latest] = own;
    expect(latest?.self).toBe(false);
    const ended = await alice.portcullis('logout', '--session', latest?.id.slice(0, 8) ?? '');
    expect(ended.code, ended.all).toBe(0);
    expect(ended.stdout).toMatch(/^complete: 1 session ended/);
    expect((await lost.portcullis('whoami')).all).toContain('is over');
    const event = audited().findLast(
      ({ annotations }) => (annotations as Record<string, string>)['portcullis.dev/event'] === 'logout',
    );
    expect(event).toMatchObject({
      user: { username: 'demo:alice' },
      annotations: { 'portcullis.dev/reason': 'ended_by_owner', 'portcullis.dev/target': `session:${latest?.id}` },
    });
  } finally {
    lost.close();
    bob.close();
  }
});

test('a rule about what the cluster does not serve is an error; a longer time than allowed ends sooner', async () => {
  const rules = 'rules: [{ apiGroups: [example.com], resources: [widgets], verbs: [get] }]';
  const args = ['delegate', '--rules', '-', '--', 'true'];
  const ran = await alice.open(instance.files.command, args, rules).finished;
  expect(ran.code, ran.all).toBe(2);
  expect(ran.stderr).toContain('rules[0].resources[0]: demo has no resource widgets in the API group "example.com"');
  const long = await delegate('--read-only', '--with-secrets', '--for', '9d', '--', 'true');
  expect(long.code, long.all).toBe(0);
  expect(long.stderr).toMatch(/can read Secrets.*\n.*sooner than asked for/);
});
