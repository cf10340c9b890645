import { chown, lchown, link, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { geteuid } from 'node:process';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { FileSinkSettings } from '../../../../src/audit/audit.ts';
import { FileTarget } from '../../../../src/audit/sinks/file-target.ts';
import { requireOwnFolder } from '../../../../src/audit/sinks/folder.ts';
import { openSinks } from '../../../../src/audit/sinks/sinks.ts';
import type { LineSink } from '../../../../src/audit/sinks/sink.ts';
import { aFolder, Counts, LogLines, range } from '../fixtures.ts';

const LIMITS = { queueBytes: 64 * 1024 * 1024, retryMs: 5, retryMaxMs: 20, stallMs: 5000, closeTimeoutMs: 5000 };
const PATIENT = { timeout: 15_000 };
/** The machine may be busy with other things. */
vi.setConfig({ testTimeout: 30_000 });
const START = Date.UTC(2026, 0, 1);
/** A line of half a mebibyte, so that two make a file of the smallest size that can be asked for. */
const HALF = 512 * 1024;
const line = (text: string): Buffer => Buffer.from(`${text}${'.'.repeat(HALF - text.length - 1)}\n`);

class Stage {
  readonly metrics = new Counts();
  readonly log = new LogLines();
  readonly path: string;
  time = START;

  constructor(folder: string) {
    this.path = join(folder, 'audit.log');
  }

  /** @param size of a file, in MiB */
  open(
    settings: Partial<FileSinkSettings> = {},
    size: Pick<FileSinkSettings, 'maxSizeMb'> = { maxSizeMb: 1 },
  ): LineSink {
    const file = { type: 'file', path: this.path, ...size, ...settings } as const;
    const [sink] = openSinks([file], {
      limits: LIMITS,
      metrics: this.metrics,
      logger: this.log,
      nowMs: () => (this.time += 1),
    });
    if (sink === undefined) throw new Error('no sink');
    onTestFinished(() => sink.close());
    return sink;
  }

  async write(sink: LineSink, texts: readonly string[]): Promise<void> {
    for (const text of texts) {
      sink.push(line(text));
      await sink.flush();
    }
  }

  /** Every line of every file, the oldest file first. */
  async lines(): Promise<string[]> {
    const names = (await readdir(dirname(this.path))).filter((name) => name !== 'audit.log').toSorted();
    const files = [...names, 'audit.log'].map(async (name) => {
      const bytes = await readFile(join(dirname(this.path), name));
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    });
    return (await Promise.all(files)).flatMap((text) =>
      text
        .split('\n')
        .filter((one) => one !== '')
        .map((one) => one.replace(/\.+$/, '')),
    );
  }

  async names(): Promise<string[]> {
    return (await readdir(dirname(this.path))).toSorted();
  }

  settled(check: (names: readonly string[]) => void): Promise<void> {
    const look = async (): Promise<void> => {
      const names = await this.names();
      check(names);
      // A compressed file stands beside its original for a moment.
      expect(names.filter((name) => name !== 'audit.log' && names.includes(`${name}.gz`))).toEqual([]);
    };
    return vi.waitFor(look, { ...PATIENT, interval: 20 });
  }
}

const aStage = async (): Promise<Stage> => new Stage(await aFolder());
const texts = (count: number): string[] => range(count).map((n) => `line-${n}`);
const packed = (names: readonly string[]): string[] => names.filter((name) => name.endsWith('.gz'));

describe('a file that is rotated', () => {
  it('begins a new one at its size, keeps every line once and in order, and compresses the old ones', async () => {
    const stage = await aStage();
    const sink = stage.open();
    await stage.write(sink, texts(7));
    await stage.settled((names) => expect(packed(names)).toHaveLength(3));
    expect(await stage.names()).toEqual(['audit.log', ...packed(await stage.names())]);
    expect(packed(await stage.names())[0]).toMatch(/^audit\.log\.2026-01-01T00-00-00\.\d{3}Z\.gz$/);
    expect(await stage.lines()).toEqual(texts(7));
    for (const name of packed(await stage.names())) {
      expect((await stat(join(dirname(stage.path), name))).mode & 0o777).toBe(0o600);
    }
    expect(stage.metrics.by).toEqual(new Map([['file written', 7]]));
  });

  it('parts only whole lines: one that a full disk has cut goes on in its own file', async () => {
    const stage = await aStage();
    const target = new FileTarget({ type: 'file', path: stage.path, maxSizeMb: 1 });
    onTestFinished(() => target.close());
    const big = Buffer.from(`${'x'.repeat(2 * HALF)}\n`);
    expect(await target.prepare()).toBe('fresh');
    await target.write(big.subarray(0, -1));
    expect(await target.prepare()).toBe('same');
    await target.write(big.subarray(-1));
    expect(await target.prepare()).toBe('fresh');
    expect((await stat(stage.path)).size).toBe(0);
  });

  it('begins a new one at its age, counted from when the file was made', async () => {
    const stage = await aStage();
    const sink = stage.open({ rotateEvery: 3600, gzip: false }, {});
    await stage.write(sink, ['first', 'second']);
    expect(await stage.names()).toEqual(['audit.log']);
    stage.time += 3_600_000;
    await stage.write(sink, ['third']);
    expect(await stage.names()).toHaveLength(2);
    expect(await readFile(stage.path, 'utf8')).toMatch(/^third/);
    expect(await stage.lines()).toEqual(['first', 'second', 'third']);
  });

  it('keeps as many old files as it is told, and says which it removed', async () => {
    const stage = await aStage();
    const sink = stage.open({ keep: 2 });
    await stage.write(sink, texts(10));
    expect(sink.status.holdsForSeconds).toBeLessThan(3);
    // At the speed at which the latest was filled, or the present one is: three files of a day.
    stage.time += 86_400_000;
    expect(sink.status.holdsForSeconds).toBeCloseTo(3 * 86_400, -2);
    await stage.write(sink, texts(11).slice(10));
    await stage.settled((names) => expect([packed(names).length, names.length]).toEqual([2, 3]));
    expect(await stage.lines()).toEqual(texts(11).slice(6));
    const removed = stage.log.lines.filter(({ message }) => message.includes('was removed'));
    expect(removed.map(({ fields }) => fields['keep'])).toEqual([2, 2, 2]);
  });

  it('keeps old files for as long as it is told, however many they are, and looks at them every hour', async () => {
    const stage = await aStage();
    const sink = stage.open({ keep: { seconds: 86_400 } });
    await stage.write(sink, texts(41));
    await stage.settled((names) => expect(packed(names)).toHaveLength(20));
    expect(sink.status.holdsForSeconds).toBeUndefined();
    stage.time += 86_000_000;
    sink.push(Buffer.from('young\n'));
    await sink.flush();
    await stage.settled((names) => expect(packed(names)).toHaveLength(20));
    stage.time += 3_600_000;
    // No file ends with this line either.
    sink.push(Buffer.from('late\n'));
    await sink.flush();
    await stage.settled((names) => expect(packed(names)).toHaveLength(0));
    expect(await stage.lines()).toEqual([...texts(41).slice(40), 'young', 'late']);
  });

  it('leaves unknown files in its folder alone', async () => {
    const stage = await aStage();
    const unknownFiles = [
      'audit.log.1',
      'audit.log.gz',
      'audit.log.bak.gz.tmp',
      'audit.logs',
      'other.2026-01-01T00-00-00.000Z',
    ];
    for (const name of unknownFiles) await writeFile(join(dirname(stage.path), name), 'mine');
    await stage.write(stage.open({ keep: 1 }), texts(7));
    await stage.settled((names) => expect(packed(names)).toHaveLength(2));
    for (const name of unknownFiles) expect(await readFile(join(dirname(stage.path), name), 'utf8')).toBe('mine');
  });

  it('leaves everything to logrotate where it is not asked for', async () => {
    const stage = await aStage();
    const old = `${stage.path}.2026-01-01T00-00-00.000Z`;
    await writeFile(old, 'kept as it is\n');
    const sink = stage.open({}, {});
    await stage.write(sink, texts(3));
    await rename(stage.path, `${stage.path}.1`);
    await stage.write(sink, ['after']);
    await sink.close();
    expect(await stage.names()).toEqual(['audit.log', 'audit.log.1', 'audit.log.2026-01-01T00-00-00.000Z']);
    expect(await readFile(stage.path, 'utf8')).toMatch(/^after/);
  });

  it('finds the new file where logrotate took the old one while it rotates itself', async () => {
    const stage = await aStage();
    const sink = stage.open({ gzip: false });
    await stage.write(sink, ['first']);
    await rename(stage.path, `${stage.path}.1`);
    await stage.write(sink, ['second', 'third', 'fourth']);
    expect(await stage.lines()).toEqual(['first', 'second', 'third', 'fourth']);
  });

  it('takes another name where one of the same moment is there', async () => {
    const stage = await aStage();
    const sink = stage.open({ gzip: false, keep: 100 });
    await stage.write(sink, texts(2));
    const taken = range(60).map((n) => `${stage.path}.${new Date(stage.time + n).toISOString().replaceAll(':', '-')}`);
    for (const name of taken) await writeFile(name, 'taken');
    await stage.write(sink, ['more']);
    expect((await stage.names()).filter((name) => name.endsWith('Z-1'))).toHaveLength(1);
    for (const name of taken) expect(await readFile(name, 'utf8')).toBe('taken');
  });

  it('goes on in a file that cannot be moved, and says so once', async () => {
    const folder = await aFolder();
    // With a time behind it this name is longer than any file system takes.
    const path = join(folder, 'a'.repeat(240));
    const stage = await aStage();
    const sink = stage.open({ path });
    await stage.write(sink, texts(5));
    expect(await readdir(folder)).toHaveLength(1);
    expect((await stat(path)).size).toBe(5 * HALF);
    expect(sink.failing).toBe(false);
    expect(stage.log.messages.filter((message) => message.includes('could not be rotated'))).toHaveLength(1);
  });
});

describe('a crash', () => {
  const rotated = (stage: Stage): string => `${stage.path}.2025-12-31T23-59-59.999Z`;

  it('between the rename and the new file loses nothing', async () => {
    const stage = await aStage();
    await writeFile(rotated(stage), line('old'));
    await stage.write(stage.open(), ['new']);
    await stage.settled((names) => expect(packed(names)).toHaveLength(1));
    expect(await stage.lines()).toEqual(['old', 'new']);
  });

  it('within a gzip loses nothing: it is done again', async () => {
    const stage = await aStage();
    await writeFile(rotated(stage), line('old'));
    await writeFile(`${rotated(stage)}.gz.tmp`, gzipSync(line('old')).subarray(0, 20));
    await stage.write(stage.open(), ['new']);
    await stage.settled((names) => expect(names).toEqual(['audit.log', expect.stringMatching(/999Z\.gz$/)]));
    expect(await stage.lines()).toEqual(['old', 'new']);
  });

  it('between the gzip and the removal of the original leaves each line once in the end', async () => {
    const stage = await aStage();
    await writeFile(rotated(stage), line('old'));
    await writeFile(`${rotated(stage)}.gz`, gzipSync(line('old')));
    await stage.write(stage.open(), ['new']);
    await stage.settled((names) => expect(names).toEqual(['audit.log', expect.stringMatching(/999Z\.gz$/)]));
    expect(await stage.lines()).toEqual(['old', 'new']);
  });

  it('never has it compress into, or read from, what someone else put there', async () => {
    const stage = await aStage();
    const victim = join(dirname(stage.path), 'victim');
    await writeFile(victim, 'untouched');
    await writeFile(rotated(stage), line('old'));
    await symlink(victim, `${rotated(stage)}.gz.tmp`);
    await symlink(victim, `${stage.path}.2025-12-30T23-59-59.999Z`);
    await stage.write(stage.open(), ['new']);
    await vi.waitFor(
      () => expect(stage.log.messages.some((message) => message.includes('compressed'))).toBe(true),
      PATIENT,
    );
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    expect(stage.metrics.of('file written')).toBe(1);
  });
});

describe('the folder', () => {
  it('of another user is refused, be it by a link that they own', async () => {
    const folder = await aFolder();
    // Only root may give something away; root itself is refused nowhere.
    if (geteuid?.() === 0) await chown(folder, 12_345, 12_345);
    const { uid } = await stat(folder);
    await expect(requireOwnFolder(folder, uid)).resolves.toBeUndefined();
    await expect(requireOwnFolder(folder, uid + 1)).rejects.toThrow(`belongs to user ${uid}`);
    const through = join(await aFolder(), 'link');
    await symlink('/', through);
    if (geteuid?.() === 0) await lchown(through, 12_345, 12_345);
    await expect(requireOwnFolder(through, uid + 1)).rejects.toThrow('belongs to user');
  });

  // Only root can give a folder away and have it back.
  it.runIf(geteuid?.() === 0)('of another user holds the audit log shut until it is given back', async () => {
    const stage = await aStage();
    await chown(dirname(stage.path), 12_345, 12_345);
    const sink = stage.open();
    sink.push(line('waits'));
    await vi.waitFor(
      () => expect(String(stage.log.lines[0]?.fields['err'])).toContain('belongs to user 12345'),
      PATIENT,
    );
    expect(sink.failing).toBe(true);
    await chown(dirname(stage.path), 0, 0);
    await sink.flush();
    expect(await stage.lines()).toEqual(['waits']);
  });
});

describe('fsync', () => {
  it.each(['never', 'interval', 'always'] as const)('%s writes every line', async (fsync) => {
    const stage = await aStage();
    const sink = stage.open({ fsync });
    await stage.write(sink, texts(5));
    await sink.close();
    expect(await stage.lines()).toEqual(texts(5));
    expect(stage.metrics.by).toEqual(new Map([['file written', 5]]));
  });

  it('always works on a device, which has no disk to ask', async () => {
    const stage = await aStage();
    const sink = stage.open({ path: '/dev/null', fsync: 'always' });
    await stage.write(sink, ['gone']);
    expect(sink.failing).toBe(false);
  });
});

it('does not take a hard link to its file for another file', async () => {
  const stage = await aStage();
  const sink = stage.open();
  await stage.write(sink, ['first']);
  await link(stage.path, `${stage.path}.backup`);
  await stage.write(sink, ['second']);
  expect(await readFile(stage.path)).toEqual(await readFile(`${stage.path}.backup`));
});
