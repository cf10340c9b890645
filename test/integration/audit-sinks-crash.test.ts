import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { AuditSinkSettings } from '../../src/audit/audit.ts';
import { openSinks } from '../../src/audit/sinks/sinks.ts';
import type { LineSink } from '../../src/audit/sinks/sink.ts';
import { Collector } from '../support/audit-collector.ts';

const LIMITS = { queueBytes: 64 * 1024 * 1024, retryMs: 20, retryMaxMs: 100, stallMs: 5000, closeTimeoutMs: 5000 };
const CRASHES = 6;
const PATIENT = { timeout: 60_000, interval: 50 };

/** Writes lines of 20 kB until it is killed, and prints on stdout how many of them are safe. */
const WRITER = `
import { openSinks } from ${JSON.stringify(new URL('../../src/audit/sinks/sinks.ts', import.meta.url).href)};
const [settings, limits, start] = JSON.parse(process.argv[1]);
const [sink] = openSinks([settings], { limits, requests: { waitMs: 5 } });
for (let n = start; ; ) {
  for (let i = 0; i < 10; i += 1, n += 1) sink.push(Buffer.from(JSON.stringify({ auditID: 'event-' + n, pad: 'x'.repeat(20_000) }) + '\\n'));
  await sink.flush();
  process.stdout.write(n + '\\n');
}`;

/** The number of a whole line. */
const idOf = (line: string): string | undefined => /^\{"auditID":"([^"]+)","pad":"x+"\}$/.exec(line)?.[1];

/** @returns how many lines were safe when the writer was killed */
async function writeUntilKilled(settings: AuditSinkSettings, start: number): Promise<number> {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', WRITER, JSON.stringify([settings, LIMITS, start])],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const enough = start + randomInt(60, 260);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    if (safe() >= enough) child.kill('SIGKILL');
  });
  const safe = (): number => Number(text.split('\n').at(-2) ?? start);
  await once(child, 'close');
  return safe();
}

/** Kills a writer repeatedly at random moments. @returns ids of the lines that were safe each time */
async function manyCrashes(settings: AuditSinkSettings): Promise<string[]> {
  const ids: string[] = [];
  for (let round = 0; round < CRASHES; round += 1) {
    // No other round has these numbers: a line that was written and not yet safe may exist or not.
    const start = round * 100_000;
    const end = await writeUntilKilled(settings, start);
    for (let n = start; n < end; n += 1) ids.push(`event-${n}`);
  }
  expect(ids.length).toBeGreaterThan(CRASHES * 50);
  return ids;
}

async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-crash-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function opened(settings: AuditSinkSettings): LineSink {
  const [sink] = openSinks([settings], { limits: LIMITS, requests: { waitMs: 5 } });
  if (sink === undefined) throw new Error('no sink');
  onTestFinished(() => sink.close());
  return sink;
}

it(
  'a file that rotates and compresses has every safe line once, however often its process is killed',
  { timeout: 180_000 },
  async () => {
    const folder = await aFolder();
    const settings = { type: 'file', path: join(folder, 'audit.log'), maxSizeMb: 1, keep: 1000 } as const;
    const safe = await manyCrashes(settings);
    await opened(settings).flush();
    // The next start completes the rotation that the kill interrupted.
    await vi.waitFor(async () => {
      const rest = (await readdir(folder)).filter((name) => name !== 'audit.log' && !name.endsWith('.gz'));
      expect(rest).toEqual([]);
    }, PATIENT);
    const found: string[] = [];
    let torn = 0;
    for (const name of await readdir(folder)) {
      const bytes = await readFile(join(folder, name));
      const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
      for (const line of text.split('\n').filter((one) => one !== '')) {
        const id = idOf(line);
        if (id === undefined) torn += 1;
        else found.push(id);
      }
    }
    expect(new Set(found).size).toBe(found.length);
    expect(safe.filter((id) => !found.includes(id))).toEqual([]);
    expect(torn).toBeLessThanOrEqual(CRASHES);
  },
);

it(
  'a webhook’s spool delivers every safe line, in order, however often its process is killed',
  { timeout: 180_000 },
  async () => {
    const collector = await Collector.start();
    // A server that is unavailable every other time.
    collector.otherwise = () => [200, 200, 500, 'reset' as const][randomInt(4)] ?? 200;
    const spoolDir = join(await aFolder(), 'spool');
    const settings = { type: 'webhook', url: collector.url, spoolDir } as const;
    const safe = await manyCrashes(settings);
    collector.otherwise = 200;
    const last = opened(settings);
    await last.flush();
    await vi.waitFor(() => expect(last.status.queuedBytes).toBe(0), PATIENT);
    const first = [...new Set(collector.taken)];
    expect(safe.filter((id) => !first.includes(id))).toEqual([]);
    // Ordered by first delivery: a line that is delivered again is delivered late.
    const numbers = first.map((id) => Number(id.slice('event-'.length)));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  },
);

/** A writer like WRITER of 100 lines, which reports when the sink fails and when everything is written. */
const LIMITED = `
import { openSinks } from ${JSON.stringify(new URL('../../src/audit/sinks/sinks.ts', import.meta.url).href)};
const [settings, limits] = JSON.parse(process.argv[1]);
const log = { info: () => {}, error: ({ err }) => process.stdout.write(err.code + '\\n') };
const [sink] = openSinks([settings], { limits, logger: log, requests: { waitMs: 5 } });
for (let n = 0; n < 100; n += 1) sink.push(Buffer.from(JSON.stringify({ auditID: 'event-' + n, pad: 'x'.repeat(20_000) }) + '\\n'));
await sink.flush();
process.stdout.write(sink.failing + ' written\\n');
await sink.close();`;

interface Stuck {
  readonly pid: number;
  /** Resolves with all of its output when it has ended. */
  readonly ended: () => Promise<string>;
}

/**
 * Starts a writer whose file at `path` is full in the middle of a line: a limit on the size of a file ends the write there until it is raised.
 */
async function stuckWriter(settings: AuditSinkSettings, path: string, kibibytes: number): Promise<Stuck> {
  const script = `ulimit -S -f ${kibibytes} && exec "$0" --input-type=module -e "$1" "$2"`;
  const args = ['-c', script, process.execPath, LIMITED, JSON.stringify([settings, LIMITS])];
  const child = spawn('bash', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const closed = once(child, 'close');
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await vi.waitFor(() => expect(said).toContain('EFBIG'), PATIENT);
  const bytes = await readFile(path);
  expect(bytes.length).toBe(kibibytes * 1024);
  expect(bytes.at(-1)).not.toBe(0x0a);
  const ended = async (): Promise<string> => {
    await closed;
    return said;
  };
  return { pid: child.pid ?? 0, ended };
}

const giveSpace = ({ pid }: Stuck): Buffer =>
  execFileSync('/usr/bin/prlimit', ['--pid', String(pid), '--fsize=unlimited']);

const HUNDRED = Array.from({ length: 100 }, (_, n) => `event-${n}`);

it('the sink fails when its file may not grow in the middle of a line, and every line is whole in the next file', async () => {
  const path = join(await aFolder(), 'audit.log');
  const stuck = await stuckWriter({ type: 'file', path }, path, 1024);
  await rename(path, `${path}.1`);
  expect(await stuck.ended()).toContain('false written');
  const lines = (await Promise.all([`${path}.1`, path].map((file) => readFile(file, 'utf8')))).flatMap((text) =>
    text.split('\n'),
  );
  expect(lines.flatMap((line) => idOf(line) ?? [])).toEqual(HUNDRED);
});

it('the sink goes on in the middle of the line when there is space again: no line is torn or written twice', async () => {
  const path = join(await aFolder(), 'audit.log');
  const stuck = await stuckWriter({ type: 'file', path }, path, 1024);
  giveSpace(stuck);
  expect(await stuck.ended()).toContain('false written');
  const lines = (await readFile(path, 'utf8')).split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map(idOf)).toEqual(HUNDRED);
});

it('the spool of a webhook goes on in the middle of the line as well, and delivers every line whole and once', async () => {
  const collector = await Collector.start();
  collector.otherwise = 500;
  const spoolDir = join(await aFolder(), 'spool');
  const settings = { type: 'webhook', url: collector.url, spoolDir } as const;
  const stuck = await stuckWriter(settings, join(spoolDir, '000000000000.jsonl'), 512);
  giveSpace(stuck);
  expect(await stuck.ended()).toContain('false written');
  collector.otherwise = 200;
  const next = opened(settings);
  await next.flush();
  await vi.waitFor(() => expect(next.status.queuedBytes).toBe(0), PATIENT);
  expect(collector.taken).toEqual(HUNDRED);
});
