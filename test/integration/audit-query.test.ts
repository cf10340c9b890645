/** `portcullis audit query` as a security officer runs it, over the audit log of a real server. */
import { createReadStream } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { startProgram } from '../support/program.ts';

const PODS = '/api/v1/namespaces/default/pods';

let instance: TestInstance;
let session: string;
beforeAll(async () => {
  instance = await startTestInstance();
  const client = await instance.connect();
  const signedIn = await client.signIn('alice');
  session = signedIn.session;
  await client.get(PODS, signedIn.accessToken);
  await client.get('/api/v1/namespaces/default/secrets', signedIn.accessToken);
  await client.get(PODS, 'not-a-token');
  await client.close();
  await instance.server.audit.flush();
});
afterAll(() => instance.stop());

async function query(args: readonly string[], input?: string) {
  const { child, ended } = startProgram(['audit', 'query', ...args]);
  if (input === undefined) child.stdin.end();
  else createReadStream(input).pipe(child.stdin);
  return ended;
}

const eventsIn = (stdout: string): readonly AuditEvent[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent);

describe('portcullis audit query', () => {
  it('lists the rejected requests in a table', async () => {
    const { code, stdout } = await query([
      instance.files.auditLog,
      instance.files.rejectedLog,
      '--refused',
      '--since',
      '1h',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^TIME +WHO +DID WHAT +OUTCOME +FROM\n/);
    expect(stdout).toMatch(/demo:alice +list secrets -n default @demo +403 /);
    expect(stdout).toMatch(/ - +list pods -n default @demo \[.*token.*\] +401 /);
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);
  });

  it('prints the audit events of one session unchanged, from its sign-in on', async () => {
    const { code, stdout } = await query([instance.files.auditLog, '--session', session, '--output', 'json']);
    expect(code).toBe(0);
    expect(eventsIn(stdout).map(({ verb }) => verb)).toEqual(['sign-in', 'refresh', 'list', 'list']);
    const record = await readFile(instance.files.auditLog, 'utf8');
    for (const line of stdout.trimEnd().split('\n')) expect(record).toContain(line);
  });

  it('reads standard input, plain or gzipped, and reads a file and its gzipped copy only once', async () => {
    // The test reads a copy, because the server goes on writing.
    const [plain, packed] = ['copy.log', 'copy.gz'].map((name) => join(instance.files.directory, name)) as [
      string,
      string,
    ];
    await copyFile(instance.files.auditLog, plain);
    await writeFile(packed, gzipSync(await readFile(plain)));
    const all = eventsIn((await query([plain, '-o', 'json'])).stdout);
    expect(all.length).toBeGreaterThan(0);
    for (const input of [plain, packed]) {
      expect(eventsIn((await query(['-', '-o', 'json'], input)).stdout)).toEqual(all);
    }
    expect(eventsIn((await query([plain, packed, '-o', 'json'])).stdout)).toHaveLength(all.length);
  });

  it('exits 1 for a file that does not exist, and 2 for a malformed time', async () => {
    const missing = await query([join(instance.files.directory, 'none.log')]);
    expect([missing.code, missing.stdout]).toEqual([1, '']);
    expect(missing.stderr).toContain('none.log: could not be read to its end');
    const wrong = await query([instance.files.auditLog, '--since', 'tomorrow']);
    expect([wrong.code, wrong.stdout]).toEqual([2, '']);
    expect(wrong.stderr).toContain('give a time such as');
  });
});
