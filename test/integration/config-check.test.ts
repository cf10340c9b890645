import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { FILES, settings, temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';
import { startProgram } from '../support/program.ts';

const ALICE = { sub: '4711', email: 'alice@example.com', email_verified: true };

/** Runs the real command next to a separate configuration, in which `change` changes something. */
async function check(
  args: readonly string[],
  stdin = '',
  change: (base: ReturnType<typeof settings>) => void = () => {},
) {
  const directory = temporaryDirectory();
  const base = settings();
  change(base);
  writeFiles(directory, { ...FILES, 'portcullis.yaml': stringify(base) });
  writeFileSync(join(directory, 'alice.json'), JSON.stringify(ALICE));
  const command = ['config', 'check', '--config', 'portcullis.yaml', ...args];
  const { child, ended } = startProgram(command, { cwd: directory });
  child.stdin.on('error', () => undefined).end(stdin);
  return { ...(await ended), directory };
}

describe('portcullis config check --claims', () => {
  it('shows the user that the claims sign in, and exits 0', async () => {
    const { code, stdout } = await check(['--claims', 'alice.json']);
    expect(code).toBe(0);
    expect(stdout).toContain('corp (oidc): allowed');
    expect(stdout).toContain('corp:alice@example.com');
  });

  it('shows the rule that rejects the claims, read from standard input as well, and exits 3', async () => {
    const { code, stdout } = await check(
      ['--claims', '-', '--provider', 'corp', '--output', 'json'],
      JSON.stringify({ ...ALICE, email_verified: false }),
    );
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      provider: 'corp',
      allowed: false,
      refusal: { reason: 'email_unverified', place: 'providers[0].emailVerified' },
    });
  });

  it.each([
    [['--claims', 'missing.json'], /missing\.json/],
    [['--claims', 'tls.key'], /not a JSON object/],
    [['--claims', 'alice.json', '--provider', 'other'], /one of: corp/],
    [['--provider', 'corp'], /--claims FILE/],
  ])('exits 2 for a usage error: %j', async (args, message) => {
    const { code, stdout, stderr } = await check(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('checks only the configuration when no claims are given', async () => {
    const { code, stdout } = await check(['--output', 'json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ providers: 1, clusters: 1, store: 'memory' });
  });
});

describe('the files that a configuration names', () => {
  const elsewhere = (base: ReturnType<typeof settings>): void => {
    base.listen.api['certFile'] = 'mounted.crt';
    Object.assign(base.providers[0] ?? {}, { clientAuth: 'private_key_jwt', clientKeyFile: 'secrets/client.key' });
    Object.assign(base.clusters[0] ?? {}, { tokenFile: '/var/run/nowhere/token' });
  };

  it('are named by their paths where they are not there', async () => {
    const { code, stderr, directory } = await check([], '', elsewhere);
    expect(code).toBe(2);
    expect(stderr).toContain(`listen.api.certFile (line 4): a file that can be read (ENOENT, in ${directory})`);
    expect(stderr).toContain('got "secrets/client.key"');
    expect(stderr).toMatch(/clusters\[0\]\.tokenFile .*\(ENOENT\), got "\/var\/run\/nowhere\/token"/);
  });

  it('are not read with --no-files, and everything else is', async () => {
    const { code, stdout } = await check(['--no-files'], '', elsewhere);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^valid: .*; the files that it names were not read$/m);
    const bad = await check(['--no-files'], '', (base) => {
      elsewhere(base);
      base.publicUrl = 'nowhere';
    });
    expect(bad.code).toBe(2);
    expect(bad.stderr).toMatch(/has an error:\n {2}- publicUrl/);
  });
});
