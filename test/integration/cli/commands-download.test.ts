import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { USERS } from '../../../demo/demo.ts';
import type { RunningDemo } from '../../../demo/launch.ts';
import { Visitor } from '../../../demo/visitor.ts';
import { startTestInstance } from '../../support/instance.ts';
import { CliContext } from '../../support/kubectl.ts';

let instance: RunningDemo;
let laptop: CliContext;

beforeAll(async () => {
  instance = await startTestInstance({
    file: (settings) => {
      const [demo] = settings['clusters'] as object[];
      const more = [
        { ...demo, name: 'staging', hosts: ['staging.localhost'], publicUrl: 'https://staging.localhost:6443' },
        {
          ...demo,
          name: 'closed',
          hosts: ['closed.localhost'],
          publicUrl: 'https://closed.localhost:6443',
          allow: 'false',
        },
      ];
      return { ...settings, clusters: [demo, ...more] };
    },
  });
  laptop = new CliContext(instance, 'alice', { KUBECONFIG: join(instance.files.directory, 'mine') });
});

afterAll(async () => {
  laptop?.close();
  await instance?.stop();
});

async function download(user: string): Promise<string> {
  const who = USERS.find(({ name }) => name === user);
  if (who === undefined) throw new Error(`there is no ${user}`);
  const browser = new Visitor(who);
  await browser.visit(`${instance.urls.web}/login/start?to=me&provider=demo`);
  const { status, html } = await browser.visit(`${instance.urls.web}/me/kubeconfig`);
  expect(status).toBe(200);
  return html;
}

describe('a kubeconfig', () => {
  test('from the page has the same bytes as the one from the command', async () => {
    const ended = await laptop.portcullis('login', '--server', instance.urls.web);
    expect(ended.code, ended.all).toBe(0);
    const printed = await laptop.portcullis('kubeconfig', '--print');
    expect(printed.code, printed.all).toBe(0);
    const names = parse(printed.stdout).clusters.map(({ name }: { name: string }) => name.split('@')[0]);
    expect(names).toEqual(['demo', 'staging']);
    expect(await download('alice')).toBe(printed.stdout);
  });

  test('from the command works with kubectl, and a second run changes nothing', async () => {
    const first = await laptop.portcullis('kubeconfig', '--command', instance.files.command);
    expect(first.code, first.all).toBe(0);
    const mine = join(instance.files.directory, 'mine');
    const written = await readFile(mine, 'utf8');
    const pods = await laptop.kubectl('get', 'pods', '--namespace', 'default');
    expect(pods.code, pods.all).toBe(0);
    const again = await laptop.portcullis('kubeconfig', '--command', instance.files.command, '--output', 'json');
    expect(JSON.parse(again.stdout)).toMatchObject({ contexts: [{ change: 'unchanged' }, { change: 'unchanged' }] });
    expect(await readFile(mine, 'utf8')).toBe(written);
  });

  test('whoami prints the key that the session is bound to, as the list of the server has it', async () => {
    const { stdout } = await laptop.portcullis('whoami', '--output', 'json');
    const { session } = JSON.parse(stdout) as { session: { id: string; key: string } };
    expect(session.key).toMatch(/^SHA256:[A-Za-z0-9_-]{43}$/);
    const record = await instance.server.store.sessions.read(session.id);
    expect(session.key).toBe(`SHA256:${record?.thumbprint}`);
  });
});
