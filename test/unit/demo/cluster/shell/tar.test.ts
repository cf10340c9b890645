import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { FileSystem } from '../../../../../demo/cluster/files/file-system.ts';
import { ARCHIVE_END, writeEntry } from '../../../../../demo/cluster/files/tar-format.ts';
import { Input } from '../../../../../demo/cluster/shell/input.ts';
import type { Process } from '../../../../../demo/cluster/shell/process.ts';
import { runCommand } from '../../../../../demo/cluster/shell/shell.ts';

async function run(files: FileSystem, command: string, archive: readonly Buffer[] = []) {
  const out: Buffer[] = [];
  let err = '';
  const process: Process = {
    input: new Input(Readable.from(archive)),
    env: new Map(),
    files,
    hostname: 'web-1',
    interactive: false,
    now: () => new Date(0),
    out: async (bytes) => void out.push(Buffer.from(bytes)),
    err: async (text) => void (err += text.toString()),
    closed: new AbortController().signal,
    foreground: { interrupt: undefined },
  };
  const code = await runCommand(command.split(' '), process);
  return { code, out: Buffer.concat(out), err };
}

const archiveOf = (entries: readonly (readonly [path: string, content: string | undefined])[]): Buffer =>
  Buffer.concat([
    ...entries.map(([path, content]) => writeEntry(path, content === undefined ? undefined : Buffer.from(content))),
    ARCHIVE_END,
  ]);

/** A header that is right in itself, whatever it says. */
function withName(entry: Buffer, name: string): Buffer {
  const changed = Buffer.from(entry);
  changed.fill(0, 0, 100).write(name, 0);
  changed.fill(' ', 148, 156);
  const sum = changed.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return changed;
}

describe('tar in a container', () => {
  it('gives back what it took, long and foreign names too, whatever the pieces it comes in', async () => {
    const long = `/tmp/${'deep/'.repeat(30)}größe.txt`;
    const source = new FileSystem({ '/tmp/a/one.txt': 'one', [long]: 'far away', '/tmp/empty': '' });
    const packed = await run(source, 'tar cf - /tmp');
    expect(packed).toMatchObject({ code: 0, err: '' });
    const pieces = Array.from({ length: Math.ceil(packed.out.length / 700) }, (_, index) =>
      packed.out.subarray(index * 700, index * 700 + 700),
    );
    const target = new FileSystem({});
    expect(await run(target, 'tar -xmf - -C /var', pieces)).toMatchObject({ code: 0, err: '' });
    expect(target.walk('/var/tmp').map((path) => path.slice('/var'.length))).toEqual(source.walk('/tmp'));
    expect(target.read(`/var${long}`)?.toString()).toBe('far away');
    expect(target.read('/var/tmp/a/one.txt')?.toString()).toBe('one');
  });

  it('ends with the archive and waits for no end of input', async () => {
    const files = new FileSystem({});
    const endless = new Readable({ read: () => undefined });
    endless.push(archiveOf([['/f', 'x']]));
    const process = { input: new Input(endless), files } as unknown as Process;
    const code = await runCommand(['tar', 'xf', '-', '-C', '/tmp'], {
      ...process,
      closed: new AbortController().signal,
      foreground: { interrupt: undefined },
    });
    expect(code).toBe(0);
    expect(files.read('/tmp/f')?.toString()).toBe('x');
  });

  it('keeps a name that climbs below the directory that was named', async () => {
    const files = new FileSystem({});
    const climbing = withName(writeEntry('/f', Buffer.from('x')), '../../etc/hosts');
    expect(await run(files, 'tar xf - -C /tmp', [climbing, ARCHIVE_END])).toMatchObject({ code: 0 });
    expect(files.read('/tmp/etc/hosts')?.toString()).toBe('x');
    expect(files.read('/etc/hosts')).toBeUndefined();
  });

  it.each([
    ['an archive that ends early', [archiveOf([['/f', 'x']]).subarray(0, 600)], /short read/],
    ['what is no archive', [Buffer.alloc(512, 'a')], /invalid tar header/],
    ['a file larger than the container', [writeEntry('/f', Buffer.alloc(9 * 1024 * 1024))], /No space left on device/],
    [
      'more files than the container holds',
      [archiveOf(Array.from({ length: 1001 }, (_, n) => [`/${n}`, '']))],
      /No space/,
    ],
    [
      'a file in the place of a directory',
      [
        archiveOf([
          ['/d', ''],
          ['/d/f', 'x'],
        ]),
      ],
      /Not a directory/,
    ],
  ])('gives up at %s', async (_what, archive, message) => {
    const { code, err } = await run(new FileSystem({}), 'tar xf - -C /tmp', archive);
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });

  it.each([
    ['tar cf /tmp/x /etc', /only standard input and output/],
    ['tar zcf - /etc', /use cf - PATH or xf -/],
    ['tar cf - /nowhere', /No such file or directory/],
    ['tar xf - -C /nowhere', /can't change directory/],
  ])('says what it cannot do: %s', async (command, message) => {
    const { code, err } = await run(new FileSystem({ '/etc/hosts': '' }), command);
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });

  it('shows in ls, cat and test what is there', async () => {
    const files = new FileSystem({ '/tmp/f': 'content\n' });
    expect((await run(files, 'ls /tmp')).out.toString()).toBe('f\n');
    expect((await run(files, 'cat /tmp/f')).out.toString()).toBe('content\n');
    expect((await run(files, 'test -d /tmp')).code).toBe(0);
    expect((await run(files, 'test -d /tmp/f')).code).toBe(1);
    expect((await run(files, 'ls /none')).code).toBe(1);
  });
});
