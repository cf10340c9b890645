import { renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSecretFile, watchedFile } from '../../../src/config/files.ts';
import { temporaryDirectory } from './sandbox.ts';

function secret(content: string | Buffer): string {
  const file = join(temporaryDirectory(), 'secret');
  writeFileSync(file, content);
  return file;
}

test.each([
  ['s3cret\n', 's3cret'],
  ['s3cret\r\n', 's3cret'],
  ['s3cret', 's3cret'],
  ['s3cret\n\n', 's3cret\n'],
  [' s3cret ', ' s3cret '],
])('reads %j as %j', (content, expected) => {
  expect(readSecretFile(secret(content))).toBe(expected);
});

test.each([
  ['', 'is empty'],
  ['\n', 'is empty'],
  ['x'.repeat(64 * 1024 + 1), 'larger than 64 KiB'],
])('refuses a file that is empty or too large', (content, words) => {
  expect(() => readSecretFile(secret(content))).toThrow(words);
});

test('refuses a file that is not there, by name', () => {
  expect(() => readSecretFile('/nowhere/secret')).toThrow('/nowhere/secret');
});

test('follows a file that is replaced or rewritten, and looks once a second', () => {
  const file = secret('one');
  let time = 0;
  const current = watchedFile(file, { now: () => time });
  writeFileSync(`${file}.new`, 'two');
  renameSync(`${file}.new`, file);
  time = 999;
  expect(current()).toBe('one');
  time = 1000;
  expect(current()).toBe('two');
  writeFileSync(file, 'six');
  utimesSync(file, 1, 1);
  time = 1999;
  expect(current()).toBe('two');
  time = 2000;
  expect(current()).toBe('six');
});

test('keeps the last good value while the file is away or empty, and says so', () => {
  const file = secret('one');
  let time = 0;
  const faults: string[] = [];
  const current = watchedFile(file, { now: () => time, onFault: ({ message }) => faults.push(message) });
  rmSync(file);
  time = 1000;
  expect(current()).toBe('one');
  writeFileSync(file, '');
  time = 2000;
  expect(current()).toBe('one');
  writeFileSync(file, 'two');
  time = 3000;
  expect(current()).toBe('two');
  expect(faults).toEqual([expect.stringContaining('ENOENT'), expect.stringContaining('empty')]);
});

test('cannot follow a file that is not there at first', () => {
  expect(() => watchedFile('/nowhere/secret')).toThrow('ENOENT');
});
