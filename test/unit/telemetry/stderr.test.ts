import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';

const TELEMETRY = new URL('../../../src/telemetry/telemetry.ts', import.meta.url);

/** A process of its own that logs to its real stderr. `log` is a logger; what it does last is up to `script`. */
function logging(script: string): ChildProcess {
  const program = `import { createLogger } from ${JSON.stringify(fileURLToPath(TELEMETRY))};
    const log = createLogger({ level: 'info' });
    const many = (count) => { for (let n = 0; n < count; n += 1) log.info({ n }, 'x'.repeat(1000)); };
    ${script}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('the log on stderr', () => {
  it('leaves stdout to the audit record', async () => {
    const child = logging(`log.info('hello');`);
    const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
    expect(stdout).toBe('');
    expect(JSON.parse(stderr)).toMatchObject({ msg: 'hello' });
  });

  it('has the last message of a process that dies', async () => {
    const child = logging(`log.error('last message'); process.exit(3);`);
    const [stderr] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
    expect(stderr).toContain('last message');
  });

  it('neither stops nor keeps alive a process whose log no one reads', async () => {
    const child = logging(`many(10_000); process.stdout.write('went on'); process.exit(0);`);
    const [stdout, [code]] = await Promise.all([text(child.stdout!), once(child, 'exit')]);
    expect([stdout, code]).toEqual(['went on', 0]);
  });

  it('survives a reader that goes away, and lets the process end', async () => {
    const child = logging(`many(200); setImmediate(() => { many(200); process.stdout.write('went on'); });`);
    child.stderr!.destroy();
    const [stdout, [code]] = await Promise.all([text(child.stdout!), once(child, 'exit')]);
    expect([stdout, code]).toEqual(['went on', 0]);
  });

  it('says how many lines were lost once it is read again', async () => {
    const child = logging(
      `many(10_000); process.stdout.write('lost some'); process.stderr.once('drain', () => log.info('read again'));`,
    );
    await once(child.stdout!, 'data');
    const stderr = (await text(child.stderr!)).trimEnd().split('\n');
    const note = JSON.parse(stderr.at(-2) ?? '') as { lost: number };
    expect(note.lost).toBeGreaterThan(1000);
    expect(stderr.length - 2 + note.lost).toBe(10_000);
    expect(JSON.parse(stderr.at(-1) ?? '')).toMatchObject({ msg: 'read again' });
  });
});
