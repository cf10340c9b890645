import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generateKeys, loadSealingKeys, loadSigningKeys } from '../../../src/config/keys.ts';
import { temporaryDirectory, writeFiles } from './sandbox.ts';

const NOW = 1_800_000_000;

const signingJwk = (kid: string, iat: number, change: object = {}) =>
  JSON.stringify({
    ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
    kid,
    iat,
    ...change,
  });

const sealingJwk = (kid: string, iat: number, change: object = {}) =>
  JSON.stringify({ kty: 'oct', k: Buffer.alloc(32, kid).toString('base64url'), kid, iat, ...change });

function directoryOf(files: Record<string, string>): string {
  const directory = temporaryDirectory();
  writeFiles(directory, files);
  return directory;
}

describe('which key signs', () => {
  const rows: readonly (readonly [string, Record<string, number>, string])[] = [
    ['the newest that is ten minutes old', { a: NOW - 5000, b: NOW - 600, c: NOW - 599 }, 'b'],
    ['the only one, however new', { a: NOW }, 'a'],
    ['the oldest where none is old enough', { a: NOW - 10, b: NOW - 20 }, 'b'],
    ['no key from the future', { a: NOW - 700, b: NOW + 9000 }, 'a'],
  ];
  test.each(rows)('%s', async (_, ages, expected) => {
    const entries = Object.entries(ages);
    const signing = directoryOf(Object.fromEntries(entries.map(([kid, iat]) => [`${kid}.json`, signingJwk(kid, iat)])));
    const sealing = directoryOf(Object.fromEntries(entries.map(([kid, iat]) => [`${kid}.json`, sealingJwk(kid, iat)])));
    const keys = await loadSigningKeys(signing, NOW);
    expect(keys.current.kid).toBe(expected);
    // Anyone who signs by the first key of a set signs by the current one.
    expect(keys.privateJwks.keys[0]).toEqual(keys.current.privateJwk);
    expect(keys.publicJwks.keys.map(({ kid }) => String(kid)).toSorted()).toEqual(Object.keys(ages).toSorted());
    const sealed = await loadSealingKeys(sealing, NOW);
    expect(sealed.current.kid).toBe(expected);
    expect([...sealed.all.keys()].toSorted()).toEqual(Object.keys(ages).toSorted());
    expect(sealed.all.get(expected)).toEqual(sealed.current.key);
  });
});

test('publishes no private member', async () => {
  const keys = await loadSigningKeys(directoryOf({ 'a.json': signingJwk('a', NOW) }), NOW);
  expect(Object.keys(keys.publicJwks.keys[0] ?? {}).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  expect(keys.privateJwks.keys[0]).toHaveProperty('d');
});

test('reads keys as a Secret is mounted', async () => {
  const directory = directoryOf({ '..2026/a.json': signingJwk('a', NOW), 'README.md': 'x' });
  symlinkSync('..2026', join(directory, '..data'));
  symlinkSync('..data/a.json', join(directory, 'a.json'));
  expect((await loadSigningKeys(directory, NOW)).current.kid).toBe('a');
});

describe('key files that are refused', () => {
  const other = JSON.parse(signingJwk('x', NOW)) as { x: string; y: string };
  test.each([
    ['text', 'canary'],
    [
      'another curve',
      JSON.stringify({
        ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' }),
        kid: 'a',
        iat: NOW,
      }),
    ],
    ['a public key', signingJwk('a', NOW, { d: undefined })],
    ['another algorithm', signingJwk('a', NOW, { alg: 'ES384' })],
    ['a key for encryption', signingJwk('a', NOW, { use: 'enc' })],
    ['a public part of another key', signingJwk('a', NOW, { x: other.x, y: other.y })],
    ['no kid', signingJwk('a', NOW, { kid: '' })],
    ['no iat', signingJwk('a', NOW, { iat: undefined })],
    ['an iat that is text', signingJwk('a', NOW, { iat: '1' })],
    ['a sealing key', sealingJwk('a', NOW)],
    ['null', 'null'],
  ])('for signing: %s', async (_, content) => {
    const directory = directoryOf({ 'good.json': signingJwk('good', NOW), 'bad.json': content });
    await expect(loadSigningKeys(directory, NOW)).rejects.toMatchObject({ code: 'internal', reason: 'keys_unusable' });
    await expect(loadSigningKeys(directory, NOW)).rejects.toThrow('bad.json');
    await expect(loadSigningKeys(directory, NOW)).rejects.not.toThrow('canary');
  });

  test.each([
    ['128 bits', sealingJwk('a', NOW, { k: Buffer.alloc(16).toString('base64url') })],
    ['no key', sealingJwk('a', NOW, { k: undefined })],
    ['a signing key', signingJwk('a', NOW)],
  ])('for sealing: %s', async (_, content) => {
    await expect(loadSealingKeys(directoryOf({ 'bad.json': content }), NOW)).rejects.toThrow('bad.json');
  });

  test('two with one kid, an empty directory and none', async () => {
    const twins = directoryOf({ 'a.json': sealingJwk('same', 1), 'b.json': sealingJwk('same', 2) });
    await expect(loadSealingKeys(twins, NOW)).rejects.toThrow('kid of its own');
    await expect(loadSigningKeys(temporaryDirectory(), NOW)).rejects.toThrow('portcullis keys generate');
    await expect(loadSigningKeys('/nowhere', NOW)).rejects.toThrow('/nowhere');
  });
});

describe('making keys', () => {
  test('writes one of each that only their owner can read, and they work', async () => {
    const base = temporaryDirectory();
    const directories = { signingDir: join(base, 'keys/signing'), sealingDir: join(base, 'keys/sealing') };
    const files = await generateKeys({ ...directories, now: NOW });
    expect(files).toHaveLength(2);
    for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const directory of Object.values(directories)) expect(statSync(directory).mode & 0o777).toBe(0o700);

    const { current, publicJwks } = await loadSigningKeys(directories.signingDir, NOW);
    const signature = sign(
      'sha256',
      Buffer.from('x'),
      createPrivateKey({ key: { ...current.privateJwk }, format: 'jwk' }),
    );
    expect(
      verify('sha256', Buffer.from('x'), createPublicKey({ key: { ...publicJwks.keys[0] }, format: 'jwk' }), signature),
    ).toBe(true);
    expect((await loadSealingKeys(directories.sealingDir, NOW)).current.key).toHaveLength(32);
  });

  test('never replaces a key, and writes nothing where one is there', async () => {
    const base = temporaryDirectory();
    const directories = { signingDir: join(base, 'signing'), sealingDir: join(base, 'sealing') };
    mkdirSync(directories.sealingDir);
    writeFiles(directories.sealingDir, { 'old.json': 'old' });
    await expect(generateKeys(directories)).rejects.toMatchObject({ code: 'conflict', reason: 'keys_exist' });
    expect(readFileSync(join(directories.sealingDir, 'old.json'), 'utf8')).toBe('old');
    expect(readdirSync(directories.signingDir)).toEqual([]);
  });
});
