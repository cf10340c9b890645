/**
 * The commands that the documents tell admins and users to type, run against a real server with Redis by users who
 * have signed in.
 */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import type { SessionRecord } from '../../src/store/store.ts';
import { SOURCES } from '../support/built-program.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { linesOf, pageBlock, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import type { PageShell } from '../support/page-shell.ts';

let folder: string;
let instance: RunningDemo;
let root: PageShell;
let alice: PageShell;

beforeAll(async () => {
  folder = await temporaryFolder();
  instance = await startTestInstance({ redis: true });
  root = await terminalOf(folder, 'root');
  alice = await terminalOf(folder, 'alice');
});
afterAll(async () => {
  root.close();
  alice.close();
  await instance.stop();
  await rm(folder, { recursive: true, force: true });
});

const signIn = (who: PageShell): Promise<string> => who.run(`portcullis login --server ${instance.urls.web}`);

/** Runs in the context that `portcullis kubeconfig` made the current one. */
const pods = 'kubectl get pods';

/** Returns the sessions that this user of the demo has, as the server knows them. */
async function sessionsOf(user: string): Promise<readonly SessionRecord[]> {
  return (await instance.server.store.sessions.list({ account: `demo/${user}`, limit: 10 })).sessions;
}

describe('an admin’s shell', { timeout: 120_000 }, () => {
  beforeEach(bothSignedIn);

  /** Signs both in again: the last command may have revoked either. */
  async function bothSignedIn(): Promise<void> {
    if ((await sessionsOf('root')).length === 0) await signIn(root);
    if ((await sessionsOf('alice')).length > 0) return;
    await signIn(alice);
    await alice.run('portcullis kubeconfig');
    await alice.run(pods);
  }

  /** @returns the output, and the remaining sessions of alice */
  async function revoke(line: string): Promise<readonly [string, readonly SessionRecord[]]> {
    // Root came through the provider too, and there is no terminal to ask.
    const said = await root.run(line.replace('--provider', '--yes --provider'));
    if (line.includes('--provider')) await signIn(root);
    return [said, await sessionsOf('alice')];
  }

  const OVER = [expect.stringMatching(/^complete: [1-9]\d* sessions? ended/), []];

  describe('README.md', () => {
    const lines = linesOf(pageBlock('README.md', 'portcullis sessions'));
    const here = (line: string): string =>
      line
        .replace('8dKj…', '"$SESSION"')
        .replace('corp/00u1x', 'demo/alice')
        .replace('--provider corp', '--provider demo');

    it.each(lines.filter((line) => line.startsWith('portcullis revoke ')))('%s', async (line) => {
      expect(await revoke(`SESSION=${(await sessionsOf('alice'))[0]?.id ?? ''}; ${here(line)}`)).toEqual(OVER);
      if (line.includes('--lock')) await root.run('portcullis unlock demo/alice --reason INC-4711');
    });

    /** The others are these three. */
    const [list = '', tail = '', drill = '', ...rest] = lines.filter((line) => !line.startsWith('portcullis revoke '));

    it('portcullis sessions', async () => {
      expect(await root.run(here(list))).toContain('demo/alice');
    });

    it('portcullis audit tail', async () => {
      const typed = root.open(here(tail));
      await typed.until(/following the audit log/);
      await expect.poll(() => alice.run(pods).then(() => typed.all())).toMatch(/demo:alice +list pods/);
      expect((await typed.interrupt()).code).toBe(0);
    });

    it('portcullis drill', async () => {
      expect(await root.run(here(drill))).toMatch(/ applied /);
      expect(rest).toEqual([]);
    });
  });

  it('README.md, step 8: practises a revocation', async () => {
    expect(await root.run(pageBlock('README.md', 'portcullis drill'))).toMatch(/^drill PASSED$/m);
  });

  it('ends and locks an account without any admin as docs/cannot-revoke.md describes', async () => {
    const block = pageBlock('docs/cannot-revoke.md', 'portcullis revoke --config');
    const server = await terminalOf(folder, 'operator', {}, SOURCES);
    onTestFinished(() => server.close());
    await server.run(
      withValues(block, {
        '/etc/portcullis/portcullis.yaml': instance.files.config,
        'PROVIDER/SUBJECT': 'demo/alice',
      }),
    );
    expect(await sessionsOf('alice')).toEqual([]);
    expect(await root.run('portcullis locks')).toContain('demo/alice');
    await root.run('portcullis unlock demo/alice --reason INC-4711');
  });

  it('locks a user out as docs/runbooks/laptop-stolen.md describes', async () => {
    const block = pageBlock('docs/runbooks/laptop-stolen.md', 'portcullis revoke --account');
    const [byAccount = '', byName = '', ...rest] = linesOf(block);
    expect(rest).toEqual([]);
    for (const line of [
      withValues(byAccount, { 'PROVIDER/SUBJECT': 'demo/alice' }),
      withValues(byName, { 'corp:alice@example.com': 'demo:alice' }),
    ]) {
      expect(await revoke(line)).toEqual(OVER);
      expect(await root.run('portcullis locks')).toContain('demo/alice');
      await root.run('portcullis unlock demo/alice --reason INC-4711');
      await bothSignedIn();
    }
  });

  it('ends every session of a provider as docs/runbooks/provider-compromised.md describes', async () => {
    const block = pageBlock('docs/runbooks/provider-compromised.md', 'portcullis revoke --provider');
    expect(await revoke(withValues(block, { corp: 'demo' }))).toEqual(OVER);
  });

  it('uses the admin API as docs/reference/admin-api.md describes', async () => {
    const [list = '', revocation = '', ...rest] = linesOf(
      pageBlock('docs/reference/admin-api.md', 'portcullis api GET'),
    );
    expect(rest).toEqual([]);
    // In these minutes every session is in use.
    expect(await root.run(withValues(list, { '?idle=12h': '' }))).toContain('demo:alice');
    const said = await root.run(withValues(revocation, { 'corp/00u1x': 'demo/alice' }));
    expect(JSON.parse(said)).toMatchObject({ complete: true, target: 'account:demo/alice', by: 'demo:root' });
    expect(await sessionsOf('alice')).toEqual([]);
    const curl = withValues(pageBlock('docs/reference/admin-api.md', 'umask 077'), {
      'https://api.portcullis.example.com': instance.urls.api,
    });
    const listed = await root.run(`export CURL_CA_BUNDLE='${instance.files.directory}/ca.crt'\n${curl}`);
    expect(JSON.parse(listed)).toMatchObject({ sessions: [{ account: 'demo/root' }] });
    const files = 'stat --format %a credential.json admin.crt admin.key admin.header';
    expect(await root.run(`${files}; rm credential.json admin.*`)).toBe('600\n600\n600\n600\n');
  });

  it('ends one session as docs/runbooks/token-leaked.md describes', async () => {
    const block = pageBlock('docs/runbooks/token-leaked.md', 'portcullis revoke --session');
    expect(await revoke(withValues(block, { ID: (await sessionsOf('alice'))[0]?.id ?? '' }))).toEqual(OVER);
  });
});
