import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  followAuditKeys,
  followSealingKeys,
  followSigningKeys,
  type FollowKeysOptions,
} from '../../../src/config/followed-keys.ts';
import { KeyAgreement, keyId } from '../../../src/core/credential/key-agreement.ts';
import { temporaryDirectory, writeFiles } from './sandbox.ts';

const NOW = 1_800_000_000;
const KEPT = 360;

const signingJwk = (kid: string, iat: number): string =>
  JSON.stringify({
    ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
    kid,
    iat,
  });

const sealingJwk = (kid: string, iat: number): string =>
  JSON.stringify({ kty: 'oct', k: Buffer.alloc(32, kid).toString('base64url'), kid, iat });

const stops: (() => void)[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));

function bench(files: Record<string, string>) {
  const directory = temporaryDirectory();
  writeFiles(directory, files);
  let seconds = NOW;
  const changes: (readonly string[])[] = [];
  const errors: string[] = [];
  const options: FollowKeysOptions = {
    keptSeconds: KEPT,
    clock: { nowMs: () => seconds * 1000 },
    agreement: new KeyAgreement(600_000),
    onChange: (_kind, kids) => void changes.push(kids),
    onError: (_kind, { message }) => void errors.push(message),
    everyMs: 5,
  };
  return {
    directory,
    options,
    changes,
    errors,
    at: (name: string) => join(directory, name),
    advance: (by: number) => void (seconds += by),
  };
}

async function signing(files: Record<string, string>) {
  const stage = bench(files);
  const { keys, held, stop } = await followSigningKeys(stage.directory, stage.options);
  stops.push(stop);
  const kids = (set: { readonly keys: readonly { readonly kid?: string }[] }) => set.keys.map(({ kid }) => kid);
  return { ...stage, keys, held, publicKids: () => kids(keys.publicJwks), privateKids: () => kids(keys.privateJwks) };
}

describe('a new signing key', () => {
  test('verifies as soon as it is seen, and signs ten minutes after it was made', async () => {
    const { keys, at, advance, changes, publicKids, privateKids } = await signing({ 'a.json': signingJwk('a', 1) });
    writeFileSync(at('b.json'), signingJwk('b', NOW));
    await vi.waitFor(() => expect(publicKids()).toEqual(['a', 'b']));
    expect(changes).toEqual([['a', 'b']]);
    advance(599);
    expect(keys.current.kid).toBe('a');
    advance(1);
    expect(keys.current.kid).toBe('b');
    expect(privateKids()).toEqual(['b', 'a']);
    expect(keys.issuedAt).toBe(NOW);
  });

  test('is another object than before, and the same one for as long as nothing changes', async () => {
    const { keys, at, advance, publicKids } = await signing({ 'a.json': signingJwk('a', 1) });
    const { privateJwks } = keys;
    advance(100_000);
    expect(keys.privateJwks).toBe(privateJwks);
    writeFileSync(at('b.json'), signingJwk('b', NOW + 100_000));
    await vi.waitFor(() => expect(publicKids()).toHaveLength(2));
    const both = keys.privateJwks;
    expect(both).not.toBe(privateJwks);
    advance(600);
    expect(keys.privateJwks).not.toBe(both);
  });

  test('whose set was rejected until now signs ten minutes later, and not while a live replica lacks it', async () => {
    const { keys, held, at, options, errors } = await signing({ 'a.json': signingJwk('a', 1) });
    const seen = (others: readonly string[], ms: number): void => {
      const kids = others.map((kid) => keyId('signing', kid));
      options.agreement.seen([{ name: 'other', keys: { has: kids, uses: [keyId('signing', 'a')] } }], held().has, ms);
    };
    seen(['a'], 0);
    writeFileSync(at('c.json'), 'canary');
    writeFileSync(at('b.json'), signingJwk('b', NOW - 700));
    await vi.waitFor(() => expect(errors).not.toEqual([]));
    rmSync(at('c.json'));
    await vi.waitFor(() => expect(keys.publicJwks.keys).toHaveLength(2));
    expect(keys.current.kid).toBe('a');
    seen(['a'], 1_000_000);
    expect(held()).toMatchObject({
      uses: keyId('signing', 'a'),
      lacked: [{ kid: 'b', replicas: ['other'] }],
    });
    const { privateJwks } = keys;
    seen(['a', 'b'], 2_000_000);
    seen(['a', 'b'], 2_599_999);
    // The standing of a key has changed, and the keys have not: anyone who has built on them need not do it again.
    expect(keys.privateJwks).toBe(privateJwks);
    expect(held()).toMatchObject({ uses: keyId('signing', 'a'), lacked: [] });
    seen(['a', 'b'], 2_600_000);
    expect(keys.current.kid).toBe('b');
  });

  test('that is old enough at the start signs only until a live replica is known that lacks it', async () => {
    const { keys, held, options } = await signing({ 'a.json': signingJwk('a', 1), 'b.json': signingJwk('b', 2) });
    expect(keys.current.kid).toBe('b');
    const id = keyId('signing', 'a');
    options.agreement.seen([{ name: 'other', keys: { has: [id], uses: [id] } }], held().has, 0);
    expect(keys.current.kid).toBe('a');
  });

  test('is not taken for another one with its kid, which a live replica uses', async () => {
    const { keys, held, options } = await signing({ 'a.json': signingJwk('a', 1), 'b.json': signingJwk('b', 2) });
    const [a, b] = [keyId('signing', 'a'), keyId('signing', 'b')];
    const { has, reads, thumbprints } = held();
    const theirs = { [a]: thumbprints[a] ?? '', [b]: 'other' };
    const other = { name: 'other', keys: { has: [a, b], uses: [b], thumbprints: theirs } };
    options.agreement.seen([other], has, 0, { reads, thumbprints });
    expect(keys.current.kid).toBe('a');
    expect(held().lacked).toEqual([{ kid: 'b', replicas: ['other'] }]);
    expect(options.agreement.ahead(held().reads)).toEqual(['other']);
  });

  test('comes as Kubernetes swaps a Secret', async () => {
    const a = signingJwk('a', 1);
    const stage = bench({ '..1/a.json': a });
    symlinkSync('..1', stage.at('..data'));
    symlinkSync('..data/a.json', stage.at('a.json'));
    const { keys, stop } = await followSigningKeys(stage.directory, stage.options);
    stops.push(stop);
    writeFiles(stage.directory, { '..2/a.json': a, '..2/b.json': signingJwk('b', 2) });
    symlinkSync('..2', stage.at('..data_tmp'));
    renameSync(stage.at('..data_tmp'), stage.at('..data'));
    symlinkSync('..data/b.json', stage.at('b.json'));
    await vi.waitFor(() => expect(keys.current.kid).toBe('b'));
    expect(stage.errors).toEqual([]);
  });
});

describe('a signing key that is taken away', () => {
  test('signs no more at once, and verifies for as long as what it signed may live', async () => {
    const { keys, held, at, advance, publicKids, privateKids } = await signing({
      'a.json': signingJwk('a', 1),
      'b.json': signingJwk('b', 2),
    });
    rmSync(at('b.json'));
    await vi.waitFor(() => expect(keys.current.kid).toBe('a'));
    expect(held().reads).toEqual([keyId('signing', 'a'), keyId('signing', 'b')]);
    // Another replica that still has it must not take it for one that lasts here.
    expect(held().has).toEqual([keyId('signing', 'a')]);
    expect(privateKids()).toEqual(['a']);
    expect(publicKids()).toEqual(['a', 'b']);
    expect(keys.publicJwks.keys[1]).not.toHaveProperty('d');
    advance(KEPT - 1);
    expect(publicKids()).toEqual(['a', 'b']);
    advance(1);
    expect(publicKids()).toEqual(['a']);
  });

  test('is whole again when it comes back meanwhile', async () => {
    const b = signingJwk('b', 2);
    const { at, advance, publicKids, privateKids } = await signing({ 'a.json': signingJwk('a', 1), 'b.json': b });
    rmSync(at('b.json'));
    await vi.waitFor(() => expect(privateKids()).toEqual(['a']));
    writeFileSync(at('b.json'), b);
    await vi.waitFor(() => expect(privateKids()).toEqual(['b', 'a']));
    advance(KEPT);
    expect(publicKids()).toEqual(['b', 'a']);
  });
});

test('a signing key that comes back signs once every live replica has had it for ten minutes', async () => {
  const [a, b] = [signingJwk('a', 1), signingJwk('b', 2)];
  const { keys, held, at, options, privateKids } = await signing({ 'a.json': a, 'b.json': b });
  const has = [keyId('signing', 'a'), keyId('signing', 'b')];
  const seen = (uses: string, ms: number): void => {
    const { has: own, reads } = held();
    options.agreement.seen([{ name: 'other', keys: { has, uses: [keyId('signing', uses)] } }], own, ms, { reads });
  };
  seen('b', 0);
  seen('b', 600_000);
  expect(keys.current.kid).toBe('b');
  rmSync(at('b.json'));
  await vi.waitFor(() => expect(keys.current.kid).toBe('a'));
  seen('b', 600_001);
  // It can still verify what the other one signs.
  expect(options.agreement.ahead(held().reads)).toEqual([]);
  seen('a', 600_002);
  writeFileSync(at('b.json'), b);
  await vi.waitFor(() => expect(privateKids()).toHaveLength(2));
  seen('a', 600_003);
  seen('a', 1_200_002);
  expect(keys.current.kid).toBe('a');
  seen('a', 1_200_003);
  expect(keys.current.kid).toBe('b');
});

describe('a set that is no good', () => {
  test.each([
    ['a file that is no key', { 'c.json': 'canary' }],
    ['a good key beside one that is none', { 'b.json': signingJwk('b', 2), 'c.json': 'canary' }],
    ['two keys of one name', { 'c.json': signingJwk('a', 3) }],
  ])('is refused whole and told once: %s', async (_, files) => {
    const { directory, errors, changes, at, publicKids } = await signing({ 'a.json': signingJwk('a', 1) });
    mkdirSync(at('..next'));
    writeFiles(at('..next'), files);
    for (const name of Object.keys(files)) renameSync(join(at('..next'), name), join(directory, name));
    await vi.waitFor(() => expect(errors.at(-1)).toContain('c.json'));
    expect(errors.join()).not.toContain('canary');
    const told = errors.length;
    writeFileSync(at('c.json'), signingJwk('c', 3));
    await vi.waitFor(() => expect(publicKids()).toContain('c'));
    expect(errors).toHaveLength(told);
    expect(changes.at(-1)).toContain('c');
  });

  test('another key with the kid of one that is in use, or was until a moment ago, is rejected', async () => {
    const b = signingJwk('b', 2);
    const { errors, at, keys, publicKids } = await signing({ 'a.json': signingJwk('a', 1), 'b.json': b });
    const { publicJwks } = keys;
    writeFileSync(at('b.json'), signingJwk('b', 2));
    await vi.waitFor(() => expect(errors.join()).toContain('b: a kid of its own'));
    expect(keys.publicJwks).toBe(publicJwks);
    rmSync(at('b.json'));
    await vi.waitFor(() => expect(publicKids()).toEqual(['a', 'b']));
    writeFileSync(at('b.json'), signingJwk('b', 2));
    await vi.waitFor(() => expect(errors).toHaveLength(2));
    expect(keys.current.kid).toBe('a');
    expect(new Set(keys.publicJwks.keys)).toEqual(new Set(publicJwks.keys));
  });

  test('an empty directory, or none, leaves what was in use', async () => {
    const { directory, errors, at, keys } = await signing({ 'a.json': signingJwk('a', 1) });
    rmSync(at('a.json'));
    await vi.waitFor(() => expect(errors).toHaveLength(1));
    rmSync(directory, { recursive: true });
    await vi.waitFor(() => expect(errors).toHaveLength(2));
    expect(keys.current.kid).toBe('a');
  });

  test('is reported as restored where the keys in use are there again', async () => {
    const a = signingJwk('a', 1);
    const stage = bench({ 'a.json': a });
    let restored = 0;
    const options = { ...stage.options, onRestored: () => void (restored += 1) };
    const { stop } = await followSigningKeys(stage.directory, options);
    stops.push(stop);
    writeFileSync(stage.at('b.json'), 'canary');
    await vi.waitFor(() => expect(stage.errors).toHaveLength(1));
    expect(restored).toBe(0);
    rmSync(stage.at('b.json'));
    await vi.waitFor(() => expect(restored).toBe(1));
    writeFileSync(stage.at('a.json'), `${a} `);
    writeFileSync(stage.at('b.json'), signingJwk('b', 2));
    await vi.waitFor(() => expect(stage.changes).toEqual([['a', 'b']]));
    expect(restored).toBe(1);
  });

  test('is refused at the start, and nothing is followed', async () => {
    const { directory, options } = bench({ 'a.json': 'canary' });
    await expect(followSigningKeys(directory, options)).rejects.toMatchObject({ reason: 'keys_unusable' });
  });
});

test('a sealing key opens at once, seals after ten minutes, and opens for a while after it was taken away', async () => {
  const stage = bench({ 'a.json': sealingJwk('a', 1) });
  const { keys, stop } = await followSealingKeys(stage.directory, stage.options);
  stops.push(stop);
  writeFileSync(stage.at('b.json'), sealingJwk('b', NOW));
  await vi.waitFor(() => expect([...keys.all.keys()]).toEqual(['a', 'b']));
  expect(keys.current.kid).toBe('a');
  stage.advance(600);
  expect(keys.current.kid).toBe('b');
  rmSync(stage.at('a.json'));
  await vi.waitFor(() => expect(stage.changes).toHaveLength(2));
  expect(keys.all.get('a')).toEqual(new Uint8Array(32).fill('a'.charCodeAt(0)));
  stage.advance(KEPT);
  expect([...keys.all.keys()]).toEqual(['b']);
});

test('the audit log’s key: the next one signs ten minutes later, and one without its private part never does', async () => {
  const stage = bench({ 'a.json': signingJwk('a', 1) });
  const { keys, stop } = await followAuditKeys(stage.directory, stage.options);
  stops.push(stop);
  const retired = JSON.parse(signingJwk('r', 5)) as Record<string, unknown>;
  writeFileSync(stage.at('r.json'), JSON.stringify({ ...retired, d: undefined }));
  writeFileSync(stage.at('b.json'), signingJwk('b', NOW));
  await vi.waitFor(() => expect(stage.changes.flat()).toContain('b'));
  expect(keys.current.kid).toBe('a');
  stage.advance(600);
  expect(keys.current.kid).toBe('b');
});
