import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { followFiles } from '../../../src/config/followed-files.ts';
import { temporaryDirectory } from './sandbox.ts';

const stops: (() => void)[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));

function follow(names: readonly string[], reject: (contents: readonly string[]) => boolean = () => false) {
  const directory = temporaryDirectory();
  const paths = names.map((name) => join(directory, name));
  for (const path of paths) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'old');
  }
  const applied: (readonly string[])[] = [];
  const errors: string[] = [];
  const apply = (contents: readonly string[]): void => {
    if (reject(contents)) throw new Error('no good');
    applied.push(contents);
  };
  stops.push(followFiles({ paths, apply, onError: ({ message }) => void errors.push(message) }, 5));
  return {
    directory,
    paths,
    applied,
    errors,
    write: (index: number, text: string) => writeFileSync(paths[index] ?? '', text),
  };
}

test('what the files hold is applied when one changes, and not before', async () => {
  const { applied, write } = follow(['a', 'b']);
  write(1, 'new!');
  await vi.waitFor(() => expect(applied).toEqual([['old', 'new!']]));
  write(0, 'new too');
  await vi.waitFor(() =>
    expect(applied).toEqual([
      ['old', 'new!'],
      ['new too', 'new!'],
    ]),
  );
});

test('what is no good is told once, and the next good state is applied', async () => {
  const { applied, errors, write } = follow(['a', 'b'], ([a, b]) => a !== b);
  write(0, 'fresh');
  await vi.waitFor(() => expect(errors).toEqual(['no good']));
  write(1, 'fresh');
  await vi.waitFor(() => expect(applied).toEqual([['fresh', 'fresh']]));
  expect(errors).toEqual(['no good']);
});

test('a file that is missing for a while is an error and no end', async () => {
  const { applied, errors, paths, write } = follow(['a']);
  rmSync(paths[0] ?? '');
  await vi.waitFor(() => expect(errors).toHaveLength(1));
  expect(errors[0]).toContain('ENOENT');
  write(0, 'back');
  await vi.waitFor(() => expect(applied).toEqual([['back']]));
});

test('a file whose folder is another thing for a while is an error and no end', async () => {
  const { applied, errors, directory, write } = follow(['in/a']);
  const folder = join(directory, 'in');
  renameSync(folder, join(directory, 'aside'));
  writeFileSync(folder, 'no folder');
  await vi.waitFor(() => expect(errors).toHaveLength(1));
  expect(errors[0]).toContain('ENOTDIR');
  rmSync(folder);
  symlinkSync('in', folder);
  await vi.waitFor(() => expect(errors).toHaveLength(2));
  expect(errors[1]).toContain('ELOOP');
  rmSync(folder);
  mkdirSync(folder);
  write(0, 'back');
  await vi.waitFor(() => expect(applied.at(-1)).toEqual(['back']));
});

test('a link that is turned to another file is a change, as Kubernetes does it', async () => {
  const { applied, directory, paths } = follow(['a']);
  writeFileSync(join(directory, 'v2'), 'second');
  symlinkSync('v2', join(directory, 'link'));
  renameSync(join(directory, 'link'), paths[0] ?? '');
  await vi.waitFor(() => expect(applied).toEqual([['second']]));
});
