/** Lists at a terminal of 80 columns, with the real server: what they show is what other commands take. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunningDemo } from '../../../demo/launch.ts';
import { startTestInstance } from '../../support/instance.ts';
import { CliContext } from '../../support/kubectl.ts';
import { ShellTerminal } from '../../support/shell-terminal.ts';

let instance: RunningDemo;
let alice: CliContext;
let root: CliContext;

beforeAll(async () => {
  instance = await startTestInstance();
  [alice, root] = [new CliContext(instance, 'alice'), new CliContext(instance, 'root')];
  await Promise.all([alice, root].map((one) => one.kubectl('get', 'pods')));
});
afterAll(async () => {
  alice.close();
  root.close();
  await instance.stop();
});

/** Returns what a user sees, line by line. */
async function shown({ environment }: CliContext, args: string): Promise<readonly string[]> {
  const command = `stty cols 80; '${instance.files.command}' ${args}; echo "exit $?"`;
  const terminal = new ShellTerminal(command, environment);
  const text = await terminal.until(/exit \d+\s*$/);
  await terminal.close();
  return text.trim().split(/\r?\n/);
}

test('an id as a list shows it is enough to end the session, and that of an agent is told from a device', async () => {
  const file = join(instance.files.directory, 'nightly.yaml');
  const made = await alice.portcullis('delegate', '--read-only', '--name', 'nightly', '--kubeconfig', file);
  expect(made.code, made.all).toBe(0);
  const lines = await shown(root, 'sessions --username demo:alice');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(lines).toContainEqual(expect.stringMatching(/^USER +DEVICE +FROM +USED +ENDS +ID$/));
  const row = lines.find((line) => line.includes('nightly (delegated)')) ?? '';
  const [id = ''] = row.split(/ +/).slice(-1);
  expect(id).toMatch(/^[\w-]{8,}…$/);

  const [first = '', only = ''] = (await shown(alice, 'delegations')).slice(-3);
  expect(first).toMatch(/^ID +NAME .*MAY +ENDS/);
  expect(only.startsWith(`${id.slice(0, 8)}   nightly `)).toBe(true);

  const revoked = await root.portcullis('revoke', '--session', id, '--yes', '--reason', 'INC-4711');
  expect(revoked.code, revoked.all).toBe(0);
  expect(revoked.stdout).toMatch(/^complete: 1 session ended/);
  expect((await shown(alice, 'delegations')).join('\n')).toContain('nothing is delegated');
  expect((await alice.kubectl('get', 'pods')).code).toBe(0);
});
