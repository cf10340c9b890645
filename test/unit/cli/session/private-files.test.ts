import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  checkPrivateDirectory,
  ensurePrivateDirectory,
  readPrivateFile,
  removeOldDrafts,
  replaceFile,
  writePrivateFile,
} from '../../../../src/cli/session/private-files.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-files-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const rejection = expect.objectContaining({ code: 'bad_request' });

/** Windows has neither modes nor owners, and makes links only for administrators. */
const POSIX = process.platform !== 'win32';

describe.runIf(POSIX)('a private file', () => {
  test('is written 0600 whatever the umask, and leaves no draft', () => {
    const before = process.umask(0);
    try {
      writePrivateFile(join(dir, 'f'), 'one');
      writePrivateFile(join(dir, 'f'), 'two');
    } finally {
      process.umask(before);
    }
    expect(statSync(join(dir, 'f')).mode & 0o777).toBe(0o600);
    expect(readPrivateFile(join(dir, 'f'))).toBe('two');
    expect(readdirSync(dir)).toEqual(['f']);
  });

  test('replaces a link instead of writing through it', () => {
    writeFileSync(join(dir, 'victim'), 'untouched', { mode: 0o600 });
    symlinkSync(join(dir, 'victim'), join(dir, 'f'));
    writePrivateFile(join(dir, 'f'), 'secret');
    expect(readPrivateFile(join(dir, 'victim'))).toBe('untouched');
  });

  test('that is missing is undefined', () => {
    expect(readPrivateFile(join(dir, 'none'))).toBeUndefined();
  });

  test.each([0o644, 0o640, 0o604, 0o660, 0o602])('with mode %o is refused', (mode) => {
    writeFileSync(join(dir, 'f'), 'x');
    chmodSync(join(dir, 'f'), mode);
    expect(() => readPrivateFile(join(dir, 'f'))).toThrow(rejection);
  });

  test('that is a link is refused', () => {
    writeFileSync(join(dir, 'real'), 'x', { mode: 0o600 });
    symlinkSync(join(dir, 'real'), join(dir, 'f'));
    expect(() => readPrivateFile(join(dir, 'f'))).toThrow(rejection);
  });

  test('that is a folder or a pipe is refused without waiting', () => {
    mkdirSync(join(dir, 'folder'), { mode: 0o700 });
    execFileSync('mkfifo', ['-m', '600', join(dir, 'pipe')]);
    expect(() => readPrivateFile(join(dir, 'folder'))).toThrow(rejection);
    expect(() => readPrivateFile(join(dir, 'pipe'))).toThrow(rejection);
  });

  test('of another user is refused', () => {
    let file = '/etc/passwd';
    if (process.getuid?.() === 0) {
      file = join(dir, 'f');
      writeFileSync(file, 'x', { mode: 0o600 });
      chownSync(file, 65_534, 65_534);
    }
    expect(() => readPrivateFile(file)).toThrow('belongs to another user');
  });
});

describe.runIf(process.platform === 'linux')('a disk that takes no more', () => {
  /** Runs `body` where no file may be larger than 2 kB: the system's own limit, on a process of its own. */
  function limited(body: string): string {
    const url = new URL('../../../../src/cli/session/private-files.ts', import.meta.url).href;
    const program = `const files = await import('${url}'); ${body}`;
    const script = 'ulimit -f 4; exec "$0" --input-type=module --eval "$1" "$2"';
    return execFileSync('sh', ['-c', script, process.execPath, program, dir], { encoding: 'utf8' });
  }
  const attempt = (call: string): string =>
    `try { ${call} } catch (error) { console.log(error.reason, error.message) }`;

  test('leaves the old file whole and no draft, and reports it', () => {
    writePrivateFile(join(dir, 'f'), 'old');
    const said = limited(attempt(`files.writePrivateFile(process.argv[1] + '/f', 'x'.repeat(9000))`));
    expect(said).toMatch(
      /^cache_unwritable .*\/f cannot be written: .*limit.*\(EFBIG\)\.\n {2}Next: .*PORTCULLIS_CACHE_DIR/,
    );
    expect(readPrivateFile(join(dir, 'f'))).toBe('old');
    expect(readdirSync(dir)).toEqual(['f']);
  });

  test('is found out beforehand', () => {
    expect(limited(attempt('files.assertDiskSpace(process.argv[1], 9000)'))).toContain('cache_unwritable');
    expect(limited(attempt('files.assertDiskSpace(process.argv[1], 900)'))).toBe('');
    expect(readdirSync(dir)).toEqual([]);
  });
});

test('a draft of a writer that was killed goes after a minute; one that is being written stays', () => {
  writeFileSync(join(dir, 'session.json.0123456789ab.tmp'), 'secret', { mode: 0o600 });
  writePrivateFile(join(dir, 'session.json'), 'x');
  removeOldDrafts(dir, Date.now());
  expect(readdirSync(dir)).toHaveLength(2);
  removeOldDrafts(dir, Date.now() + 61_000);
  expect(readdirSync(dir)).toEqual(['session.json']);
});

test('a file that another program of Windows has open for a moment is replaced all the same', () => {
  const inUse = (times: number) => (): void => {
    if (times-- > 0) throw Object.assign(new Error('in use'), { code: 'EPERM' });
  };
  expect(() => replaceFile('a', 'b', 'win32', inUse(3))).not.toThrow();
  expect(() => replaceFile('a', 'b', 'win32', inUse(1000))).toThrow('in use');
  expect(() => replaceFile('a', 'b', 'linux', inUse(1))).toThrow('in use');
});

describe.runIf(POSIX)('a private folder', () => {
  test('is made 0700 with its parents', () => {
    ensurePrivateDirectory(join(dir, 'a', 'b'));
    expect(statSync(join(dir, 'a', 'b')).mode & 0o777).toBe(0o700);
  });

  test('that is open to others, a link or a file is refused', () => {
    mkdirSync(join(dir, 'open'));
    chmodSync(join(dir, 'open'), 0o755);
    mkdirSync(join(dir, 'mine'), { mode: 0o700 });
    symlinkSync(join(dir, 'mine'), join(dir, 'link'));
    expect(() => ensurePrivateDirectory(join(dir, 'open'))).toThrow(rejection);
    expect(() => ensurePrivateDirectory(join(dir, 'link'))).toThrow('not a folder');
    writeFileSync(join(dir, 'file'), '', { mode: 0o600 });
    expect(() => checkPrivateDirectory(join(dir, 'file'))).toThrow('not a folder');
  });
});
