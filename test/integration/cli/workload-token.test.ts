import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { thumbprintOfPem } from './fake-server.ts';
import type { Ended } from './machine.ts';
import { stage } from './setup.ts';

const at = stage();
const SUBJECT_TOKEN = 'canary-subject-token';
let tokenFile: string;

beforeEach(() => {
  tokenFile = join(at.machine.home, 'token');
  project(SUBJECT_TOKEN);
  at.fakeServer.secrets.push(SUBJECT_TOKEN);
});

/** Writes a token to the file, which the server then accepts. */
function project(token: string): void {
  writeFileSync(tokenFile, `${token}\n`);
  at.fakeServer.workloadToken = token;
}

const getToken = (): Promise<Ended> => at.getToken('prod', '--token-file', tokenFile);

interface Credential {
  readonly token: string;
  readonly clientCertificateData: string;
}

const credentialIn = ({ stdout }: Ended): Credential => (JSON.parse(stdout) as { status: Credential }).status;

/** Makes the kept credential older. */
function age(seconds: number): void {
  const file = at.machine.cachedFiles.find((path) => path.endsWith('/workload.json'));
  if (file === undefined) throw new Error('nothing is kept');
  const kept = JSON.parse(readFileSync(file, 'utf8')) as {
    tokens: Record<string, { receivedAt: number; expiresAt: number }>;
  };
  for (const token of Object.values(kept.tokens)) {
    token.receivedAt -= seconds * 1000;
    token.expiresAt -= seconds * 1000;
  }
  writeFileSync(file, JSON.stringify(kept), { mode: 0o600 });
}

describe('get-token with a workload’s token', () => {
  test('uses the cache without a request while the credential is valid', async () => {
    const first = await getToken();
    expect(first, first.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(thumbprintOfPem(credentialIn(first).clientCertificateData)).toBe(at.fakeServer.exchanges[0]);
    await at.fakeServer.stop();
    expect(credentialIn(await getToken())).toEqual(credentialIn(first));
  });

  test('sends the same token again with the key that it is bound to, and the next one with a new key', async () => {
    const first = credentialIn(await getToken());
    age(250);
    const second = credentialIn(await getToken());
    expect(second.token).not.toBe(first.token);
    project('canary-next-token');
    const third = credentialIn(await getToken());
    expect(third.token).not.toBe(second.token);
    const [one, two, three] = at.fakeServer.exchanges;
    expect([one, three]).toEqual([two, thumbprintOfPem(third.clientCertificateData)]);
    expect(three).not.toBe(one);
  });

  test('requests a new credential for a program that asks again, because its credential was rejected', async () => {
    const ended = await at.machine.runUnderOneParent(
      2,
      'get-token',
      '--server',
      at.fakeServer.web,
      '--cluster',
      'prod',
      '--token-file',
      tokenFile,
    );
    const [first, second] = ended.stdout.trim().split('\n');
    expect(first).not.toBe(second);
    expect(at.fakeServer.exchanges).toHaveLength(2);
  });

  test('uses the present credential for its last minute while the server is unavailable, and then advises to try again', async () => {
    const first = credentialIn(await getToken());
    await at.fakeServer.stop();
    age(270);
    const late = await getToken();
    expect(late, late.stderr).toMatchObject({ code: 0 });
    expect(late.stderr).toContain('Continuing with the present token');
    expect(credentialIn(late).token).toBe(first.token);
    age(30);
    const over = await getToken();
    expect(over).toMatchObject({ code: 1, stdout: '' });
    expect(over.stderr).toContain('Next: try again in a moment, with the same token');
  });

  test('exits 3 when the token is rejected, and prints none of it although the server repeats it', async () => {
    at.fakeServer.workloadToken = 'another';
    const ended = await getToken();
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('not taken');
    expect(ended.stderr).toContain(`check that ${tokenFile} holds a fresh token for ${at.fakeServer.web} alone`);
    expect(ended.stderr).not.toContain('portcullis login');
  });

  test('does not use the session of a user on the same machine', async () => {
    await at.login();
    const before = at.machine.session;
    const workload = credentialIn(await getToken());
    expect(at.machine.session).toEqual(before);
    expect(credentialIn(await at.getToken()).token).not.toBe(workload.token);
    at.machine.env = { PORTCULLIS_TOKEN_FILE: tokenFile };
    expect(credentialIn(await at.getToken()).token).toBe(workload.token);
  });

  test('sends a token only to the host that received it first', async () => {
    await getToken();
    age(300);
    at.fakeServer.discovery = {
      mtls_endpoint_aliases: { token_endpoint: 'https://127.0.0.2/t', revocation_endpoint: 'https://127.0.0.2/r' },
      portcullis: { api: 'https://127.0.0.2', adminApi: 'https://127.0.0.2/a' },
    };
    const ended = await getToken();
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toMatch(/its API host is 127\.0\.0\.2 now[^]*rm -r /);
  });
});
