/** What the commands of admins show of delegated sessions. */
import { expect, test } from 'vitest';
import { receipt, session } from './admin-responses.ts';
import { stage } from './setup.ts';

const at = stage();

test('sessions tells an agent from a device of its user, and asks for delegated ones', async () => {
  await at.login();
  const delegation = {
    name: 'claude/reviewer',
    actors: [{ name: 'claude' }, { name: 'reviewer', registered: true as const }],
    parent: 's-2',
    ancestors: ['s-1', 's-2'],
    clusters: ['prod'],
    limits: [{ preset: 'a-later-preset', rules: [{ verbs: ['get'], resources: ['pods'] }] }],
    rights: 'read-only',
  };
  const body = { sessions: [session({ id: 's-3', delegation }), session({ deviceName: 'alice-laptop' })] };
  at.fakeServer.adminAnswer = () => ({ status: 200, body });
  const { stdout } = await at.machine.run('sessions', '--delegated', '--actor', 'claude', '--ancestor', 's-1');
  expect(stdout).toMatch(
    /^USER .*\ncorp:alice +claude\/reviewer \(delegated\) .* s-3\ncorp:alice +alice-laptop .* s-1\n$/,
  );
  const { path = '' } = at.fakeServer.adminRequests[0] ?? {};
  const query = { limit: '200', actor: 'claude', ancestor: 's-1', delegated: 'true' };
  expect(Object.fromEntries(new URLSearchParams(path.split('?', 2)[1]))).toEqual(query);
  const json = await at.machine.run('sessions', '--no-delegated', '--output', 'json');
  expect(JSON.parse(json.stdout)).toEqual(body);
  expect(at.fakeServer.adminRequests.at(-1)?.path).toContain('delegated=false');
});

test('the receipt of a revocation names the delegated sessions that ended with it', async () => {
  await at.login();
  const delegated = [
    { id: 's-5', name: 'claude', session: 's-1' },
    { id: 's-6', name: 'nightly\u001b[2J', session: 's-1' },
  ];
  at.fakeServer.adminAnswer = () => ({ status: 200, body: receipt({ delegated, delegatedCount: 30 }) });
  const { stdout } = await at.machine.run('revoke', '--session', 's-9', '--reason', 'INC-4711');
  expect(stdout).toMatch(/^complete: .*\ndelegated sessions that ended with it: claude, nightly \[2J, 28 more\n/);
});
