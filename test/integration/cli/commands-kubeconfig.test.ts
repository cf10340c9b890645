import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { stage } from './setup.ts';

const at = stage();
const run = promisify(execFile);

const host = (): string => new URL(at.fakeServer.web).host;
const inHome = (...path: string[]): string => join(at.machine.home, ...path);
const namesIn = (file: string, list = 'contexts'): string[] =>
  parse(readFileSync(file, 'utf8'))[list].map(({ name }: { name: string }) => name);

describe('kubeconfig', () => {
  test('asks the server for the current clusters of the user, and removes those that are no longer allowed', async () => {
    await at.login();
    const file = inHome('.kube', 'config');
    expect((await at.machine.run('kubeconfig')).code).toBe(0);
    expect(namesIn(file)).toEqual([`prod@${host()}`, `staging@${host()}`]);
    at.fakeServer.clusters = ['prod', 'new'];
    const ended = await at.machine.run('kubeconfig');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(/^CONTEXT .*\nprod@\S+ +unchanged .*\nnew@\S+ +added .*\nstaging@\S+ +removed /);
    for (const list of ['contexts', 'clusters', 'users']) {
      expect(namesIn(file, list)).toEqual([`prod@${host()}`, `new@${host()}`]);
    }
  });

  test('--dry-run shows the changes and writes nothing, not even the folder', async () => {
    await at.login();
    const ended = await at.machine.run('kubeconfig', '--dry-run', '--output', 'json');
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('nothing was written') });
    const added = { change: 'added', server: at.fakeServer.clusterServer };
    expect(JSON.parse(ended.stdout)).toEqual({
      file: inHome('.kube', 'config'),
      dryRun: true,
      contexts: [
        { name: `prod@${host()}`, ...added },
        { name: `staging@${host()}`, ...added },
      ],
      currentContext: `prod@${host()}`,
    });
    expect(existsSync(inHome('.kube'))).toBe(false);
  });

  test('--print gives a whole kubeconfig and touches no file', async () => {
    await at.login();
    const printed = await at.machine.run('kubeconfig', '--print');
    expect(printed).toMatchObject({ code: 0, stderr: '' });
    expect(existsSync(inHome('.kube'))).toBe(false);
    await at.machine.run('kubeconfig', '--file', inHome('other'));
    expect(readFileSync(inHome('other'), 'utf8')).toBe(printed.stdout);
    expect(await at.machine.run('kubeconfig', '--print', '--dry-run')).toMatchObject({ code: 2, stdout: '' });
  });

  test('with several files in KUBECONFIG writes to the one that kubectl would use, and keeps their current context', async () => {
    await at.login();
    const files = ['none', 'first', 'second'].map((name) => inHome(name));
    const [none = '', first = '', second = ''] = files;
    writeFileSync(first, '');
    writeFileSync(second, 'apiVersion: v1\nkind: Config\ncurrent-context: minikube\n');
    at.machine.env = { KUBECONFIG: files.join(':') };
    expect(await at.machine.run('kubeconfig')).toMatchObject({ code: 0, stderr: expect.stringContaining('stays') });
    expect(namesIn(first)).toEqual([`prod@${host()}`, `staging@${host()}`]);
    expect(parse(readFileSync(first, 'utf8'))).not.toHaveProperty('current-context');
    expect(existsSync(none)).toBe(false);
    const { stdout } = await at.machine.kubectl('config', 'current-context');
    expect(stdout.trim()).toBe('minikube');
  });

  test('loses nothing while real kubectls change the same file, and leaves no lock', async () => {
    await at.login();
    const file = inHome('.kube', 'config');
    mkdirSync(inHome('.kube'), { mode: 0o700 });
    writeFileSync(file, 'apiVersion: v1\nkind: Config\n', { mode: 0o600 });
    // One after the other: kubectl reads the file, takes the lock, and removes what it had not read, of another kubectl's too.
    const kubectls = async (): Promise<void> => {
      for (let index = 0; index < 8; index += 1) {
        // kubectl gives up immediately when the lock is taken; a user would run it again.
        await untilDone(['--kubeconfig', file, 'config', 'set-context', `other-${index}`, '--namespace', 'x']);
      }
    };
    const [ended] = await Promise.all([at.machine.run('kubeconfig'), kubectls()]);
    expect(ended).toMatchObject({ code: 0 });
    // The last run is ours, because a kubectl may have removed the entries that we had just added.
    expect(await at.machine.run('kubeconfig')).toMatchObject({ code: 0 });
    expect(namesIn(file)).toHaveLength(2 + 8);
    expect(namesIn(file)).toEqual(expect.arrayContaining([`prod@${host()}`, 'other-0', 'other-7']));
    expect(readdirSync(inHome('.kube'))).toEqual(['config']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('leaves a file whose lock another process holds as it is, and names the lock to remove', async () => {
    await at.login();
    mkdirSync(inHome('.kube'), { mode: 0o700 });
    writeFileSync(inHome('.kube', 'config.lock'), '');
    const ended = await at.machine.run('kubeconfig');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`rm ${inHome('.kube', 'config.lock')}`);
    expect(existsSync(inHome('.kube', 'config'))).toBe(false);
  });

  test('tells a user who may use no cluster where to ask, exits 3, and writes nothing', async () => {
    await at.login();
    at.fakeServer.clusters = [];
    const ended = await at.machine.run('kubeconfig');
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('ask your platform team');
    expect(existsSync(inHome('.kube'))).toBe(false);
  });
});

async function untilDone(args: readonly string[]): Promise<void> {
  for (;;) {
    try {
      await run('kubectl', [...args]);
      return;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('file exists')) throw error;
    }
  }
}
