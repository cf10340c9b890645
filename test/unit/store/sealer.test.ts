import { randomBytes } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { expect, it } from 'vitest';
import { createSealer } from '../../../src/store/redis/sealer.ts';

const [key, other] = [randomBytes(32), randomBytes(32)];
const all = new Map([
  ['k', key],
  ['older', other],
]);
const sealer = createSealer({ current: { kid: 'k', key }, all });
const value = { name: 'Zoë' };
const header = { alg: 'dir', enc: 'A256GCM', kid: 'k', ctx: 'place' };

const encrypted = (change: object, by: Uint8Array = key, plaintext = JSON.stringify(value)): Promise<string> =>
  new CompactEncrypt(Buffer.from(plaintext)).setProtectedHeader({ ...header, ...change }).encrypt(by);

const part = (sealed: string, index: number, changed: (text: string) => string): string =>
  sealed
    .split('.')
    .map((text, at) => (at === index ? changed(text) : text))
    .join('.');

it('opens what it has sealed, and what an older key has, as any implementation of RFC 7516 does', async () => {
  const sealed = await sealer.seal(value, 'place');
  expect(await sealer.open(sealed, 'place')).toEqual(value);
  expect(JSON.parse(Buffer.from((await compactDecrypt(sealed, key)).plaintext).toString())).toEqual(value);
  expect(await sealer.open(await encrypted({}), 'place')).toEqual(value);
  expect(await sealer.open(await encrypted({ kid: 'older' }, other), 'place')).toEqual(value);
});

it('opens nothing else', async () => {
  const good = await encrypted({});
  const shortened = (bytes: number) => (text: string) =>
    Buffer.from(text, 'base64url').subarray(0, bytes).toString('base64url');
  const header128 = Buffer.from(JSON.stringify({ ...header, enc: 'A128GCM' })).toString('base64url');
  const hostile = {
    'another place': await encrypted({ ctx: 'elsewhere' }),
    'an unknown key': await encrypted({ kid: 'unknown' }),
    'the key of another id': await encrypted({ kid: 'older' }),
    'a member that we never write': await encrypted({ typ: 'x' }),
    'an encrypted key': part(good, 1, () => 'AAAA'),
    'another algorithm': part(good, 0, () => header128),
    'a tag of 4 bytes': part(good, 4, shortened(4)),
    'no tag': part(good, 4, () => ''),
    'a nonce of 8 bytes': part(good, 2, shortened(8)),
    'another ciphertext': part(good, 3, (text) => `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`),
    'a sixth part': `${good}.AAAA`,
    'four parts': good.slice(0, good.lastIndexOf('.')),
    'no JSON': await encrypted({}, key, 'text'),
    'a header that is none': part(good, 0, () => 'bnVsbA'),
    nothing: '',
  };
  for (const [what, sealed] of Object.entries(hostile))
    expect(await sealer.open(sealed, 'place'), what).toBeUndefined();
});
