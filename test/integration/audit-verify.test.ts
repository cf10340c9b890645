import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { runProgram } from '../support/program.ts';
import { numbered, range } from '../unit/audit/fixtures.ts';

async function portcullis(...args: readonly string[]) {
  const { code, stdout, stderr } = await runProgram(args);
  return { code, out: stdout + stderr };
}

describe('portcullis audit verify', () => {
  let instance: TestInstance;
  /** The audit log of a server that was stopped, and of the one that was started after it with the same files. */
  let lines: readonly string[];

  const file = (name: string): string => join(instance.files.directory, name);
  const written = (name: string, content: readonly string[]): string => {
    writeFileSync(file(name), content.map((line) => `${line}\n`).join(''));
    return file(name);
  };

  /** The audit events of users. */
  const record = ({ audit }: Pick<RunningServer, 'audit'>): void => {
    for (const n of range(20)) audit.record(numbered(n));
  };

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    record(instance.server);
    await instance.server.stop();
    // The torn line that a crash in the middle of a write leaves.
    appendFileSync(instance.files.auditLog, '{"kind":"Event","apiVersion":"audit.k8s.io/v1","lev');
    const again = await instance.restart({ name: 'gate-again' });
    record(again);
    await again.stop();
    lines = readFileSync(instance.files.auditLog, 'utf8').trimEnd().split('\n');
  });
  afterAll(() => instance.stop());

  it('verifies an audit log over a restart, and reports the line that a crash tore', async () => {
    const { code, out } = await portcullis(
      'audit',
      'verify',
      instance.files.auditLog,
      '--config',
      instance.files.config,
    );
    expect(out).toMatch(/^PROVEN: /m);
    expect(out).toMatch(/^torn: /m);
    expect(out).toMatch(/gate-again {2}lines 1–\d+ {2}proven to \d+, closed/);
    expect(out).not.toMatch(/limit/);
    expect(code).toBe(0);
  });

  it('verifies it with public keys alone, over files in any order, compressed or not', async () => {
    const keys = await portcullis('keys', 'public', '--dir', file('keys'));
    expect(keys.out).not.toContain('"d"');
    writeFileSync(file('public.json'), keys.out);
    const old = file('old.log.gz');
    writeFileSync(
      old,
      gzipSync(
        lines
          .slice(0, 10)
          .map((line) => `${line}\n`)
          .join(''),
      ),
    );
    const rest = written('new.log', lines.slice(10));
    const { code, out } = await portcullis('audit', 'verify', rest, old, '--public', file('public.json'), '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({ proven: true, files: 2, lines: lines.length, findings: [] });
    expect(code).toBe(0);
  });

  it('finds a truncated end by the anchors in Redis, and reports without them that it cannot', async () => {
    const cut = written('cut.log', lines.slice(0, -3));
    const anchored = await portcullis('audit', 'verify', cut, '--config', instance.files.config);
    expect(anchored).toMatchObject({
      code: 1,
      out: expect.stringMatching(/TAMPERED cut: .*cut\.log:\d+: .*according to its anchor/),
    });
    const alone = await portcullis('audit', 'verify', cut, '--keys', file('keys/audit'));
    expect(alone).toMatchObject({ code: 0, out: expect.stringMatching(/limit: .*cannot be proven/) });
    const strict = await portcullis('audit', 'verify', cut, '--keys', file('keys/audit'), '--strict');
    expect(strict.code).toBe(1);
  });

  it('finds a whole missing chain by anchors that were kept elsewhere', async () => {
    const anchors = await portcullis('audit', 'anchors', '--config', instance.files.config);
    expect(anchors.out.trim().split('\n')).toHaveLength(2);
    writeFileSync(file('anchors'), anchors.out);
    const first = /portcullis\.dev\/chain":"(\w+)/.exec(lines[0] ?? '')?.[1] ?? '';
    const without = written(
      'without.log',
      lines.filter((line) => line.includes(`dev/chain":"${first}`)),
    );
    const { code, out } = await portcullis(
      'audit',
      'verify',
      without,
      '--keys',
      file('keys/audit'),
      '--anchors',
      file('anchors'),
    );
    expect(out).toMatch(/TAMPERED missing-chain: .*of gate-again was at line/);
    expect(code).toBe(1);
  });

  it('finds a changed event, and names its file and line', async () => {
    const edited = lines.map((line, index) => (index === 6 ? line.replace('"verb":"', '"verb":"x') : line));
    const { code, out } = await portcullis(
      'audit',
      'verify',
      written('edited.log', edited),
      '--config',
      instance.files.config,
    );
    expect(out).toMatch(/TAMPERED edited: .*edited\.log:7: /);
    expect(code).toBe(1);
  });

  it('exits with a usage error without keys, and with a file that does not exist', async () => {
    const keyless = await portcullis('audit', 'verify', instance.files.auditLog);
    expect(keyless).toMatchObject({ code: 2, out: expect.stringContaining('--keys DIR') });
    const nowhere = await portcullis('audit', 'verify', '/nowhere.log', '--keys', file('keys/audit'));
    expect(nowhere).toMatchObject({ code: 2, out: expect.stringContaining('/nowhere.log') });
  });
});
