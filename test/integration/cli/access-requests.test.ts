/** Access requests at the command line, with the real server and the real kubectl. `access.test.ts` has what a server may send besides. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunningDemo } from '../../../demo/launch.ts';
import { startTestInstance } from '../../support/instance.ts';
import { CliContext, type Open } from '../../support/kubectl.ts';
import { portcullis } from './on-server.ts';

const ROLE = {
  name: 'demo-admins',
  description: 'Everything in the demo',
  groups: ['demo:admins'],
  clusters: ['demo'],
  requesters: ['demo:developers'],
  approval: { groups: ['demo:admins'], count: 1 },
  longest: '1h',
};

let instance: RunningDemo;
let alice: CliContext;
let root: CliContext;

beforeAll(async () => {
  const access = { roles: [ROLE, { ...ROLE, name: 'glass', approval: 'none', longest: '5m' }] };
  instance = await startTestInstance({ file: (settings) => ({ ...settings, access }) });
  alice = new CliContext(instance, 'alice');
  root = new CliContext(instance, 'root');
  await Promise.all([alice, root].map((one) => one.kubectl('get', 'pods')));
});
afterAll(async () => {
  alice.close();
  root.close();
  await instance.stop();
});

const ask = (...more: readonly string[]): Open =>
  alice.openPortcullis('access', 'request', 'demo-admins', '--for', '5m', '--reason', 'INC-4711', ...more);

/** Returns the id of the request that a command has announced. */
async function idOf(asking: Open): Promise<string> {
  await asking.until(/access approve \S+\n/);
  return /access approve (\S+)\n/.exec(asking.output())?.[1] ?? '';
}

test('what a colleague approves is there with the next request, and gone with its end, with a receipt', async () => {
  const before = await alice.kubectl('get', 'secrets');
  expect(before).toMatchObject({ code: 1, stderr: expect.stringContaining('forbidden') });
  const asking = ask();
  const id = await idOf(asking);
  const own = await alice.portcullis('access', 'approve', id, '--yes');
  expect(own, own.all).toMatchObject({ code: 3, stderr: expect.stringContaining('(own_request)') });
  const queue = await root.portcullis('access', 'list');
  expect(queue.stdout).toMatch(new RegExp(`^${id} +demo:alice +demo-admins +open 0/1 `, 'm'));
  const approved = await root.portcullis('access', 'approve', id.slice(0, 6), '--yes', '--reason', 'go');
  expect(approved.code, approved.all).toBe(0);
  expect(approved.stdout).toMatch(/^approved: demo:alice has demo-admins until .*: group demo:admins, at demo$/m);
  const granted = await asking.finished;
  expect(granted.code, granted.all).toBe(0);
  expect(granted.stdout).toMatch(/^granted: demo-admins until /);
  expect(granted.stderr).toContain('approved by demo:root: "go" (1 of 1 approvals)');

  const during = await alice.kubectl('get', 'secrets');
  expect(during.code, during.all).toBe(0);
  const status = JSON.parse((await alice.portcullis('status', '--output', 'json')).stdout) as { granted: object[] };
  expect(status.granted).toMatchObject([{ id, state: 'granted', grant: { leftSeconds: expect.any(Number) } }]);
  const watching = alice.openKubectl('get', 'pods', '--watch');
  await watching.until(/web-1/);

  const ended = await alice.portcullis('access', 'end', id.slice(0, 4));
  expect(ended.code, ended.all).toBe(0);
  expect(ended.stdout).toMatch(
    /^complete: demo-admins ended, 1 stream cut, \d+ ms\nREPLICA .*\n\S+ +applied +\d+ +1\n$/,
  );
  await watching.finished;
  expect(await alice.kubectl('get', 'secrets')).toMatchObject({ code: 1 });
  const shown = await alice.portcullis('access', 'show', id);
  expect(shown.stdout).toMatch(/^ {2}state +ended by demo:alice$/m);
  expect(await alice.portcullis('access', 'end', id)).toMatchObject({ code: 1 });

  await instance.server.audit.flush();
  const found = await portcullis('audit', 'query', instance.files.auditLog, '--grant', id, '--output', 'json');
  const events = found.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { verb: string });
  expect(events.map(({ verb }) => verb)).toEqual(
    expect.arrayContaining(['access-requested', 'access-approved', 'access-begun', 'list', 'watch', 'access-ended']),
  );
  expect(events.filter(({ verb }) => verb === 'get-token' || verb === 'refresh')).toEqual([]);
});

test('a denial ends the wait with its reason; a withdrawal too; break-glass waits for no one', async () => {
  const asking = ask();
  const denied = await root.portcullis('access', 'deny', await idOf(asking), '--reason', 'ask tomorrow');
  expect(denied.code, denied.all).toBe(0);
  const first = await asking.finished;
  expect(first).toMatchObject({ code: 3, stdout: '' });
  expect(first.stderr).toContain('This was not granted: denied by demo:root: "ask tomorrow".');

  const again = ask();
  const withdrawn = await alice.portcullis('access', 'end', await idOf(again));
  expect(withdrawn).toMatchObject({ code: 0, stdout: 'withdrawn: the request for demo-admins\n' });
  expect(await again.finished).toMatchObject({ code: 1, stdout: '' });

  const glass = await alice.portcullis('access', 'request', 'glass', '--output', 'json');
  expect(glass.code, glass.all).toBe(0);
  expect(JSON.parse(glass.stdout)).toMatchObject({ state: 'granted', seconds: 300, needed: 0 });
  expect(glass.stderr).toContain('its use is break-glass');
});

test('an admin reads the requests of all users, and another user does not', async () => {
  const all = await root.portcullis('access', 'history', '--role', 'demo-admins', '--state', 'ended', '-o', 'json');
  expect(all.code, all.all).toBe(0);
  expect(JSON.parse(all.stdout)).toMatchObject({
    requests: [{ user: 'demo:alice', role: 'demo-admins', state: 'ended', grant: { ending: 'user' } }],
  });
  const shown = await root.portcullis('access', 'history', '--account', 'demo/alice');
  expect(shown.stdout).toMatch(/^\S+ +demo:alice +demo-admins +ended by demo:alice /m);
  expect(shown.stdout).toMatch(/^\S+ +demo:alice +glass +granted /m);
  const none = await root.portcullis('access', 'history', '--account', 'demo/root');
  expect(none).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('there are no access requests') });
  expect(await alice.portcullis('access', 'history')).toMatchObject({ code: 3, stdout: '' });
});
