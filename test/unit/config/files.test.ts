import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSecretFile } from '../../../src/config/files.ts';
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
])('refuses a file that is empty or too large', (content, message) => {
  expect(() => readSecretFile(secret(content))).toThrow(message);
});

test('refuses a file that is not there, by name', () => {
  expect(() => readSecretFile('/nowhere/secret')).toThrow('/nowhere/secret');
});
