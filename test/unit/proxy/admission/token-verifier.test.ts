import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose';
import { beforeAll, expect, it } from 'vitest';
import { TokenVerifier } from '../../../../src/proxy/admission/token-verifier.ts';

const ISSUER = 'https://portcullis.test';
const NOW = 1_800_000_000;

interface TestKey {
  readonly jwk: JWK;
  token(life: number, claims?: Record<string, unknown>): Promise<string>;
}

async function makeKey(kid: string): Promise<TestKey> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' },
    token: (life, claims = {}) =>
      new SignJWT({ sid: 's', client_id: 'c', jti: `${kid} ${life}`, ep: 'e', ln: 0, ...claims })
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid })
        .setIssuer(ISSUER)
        .setSubject('corp/alice')
        .setAudience('prod')
        .setIssuedAt(NOW)
        .setExpirationTime(NOW + life)
        .sign(privateKey),
  };
}

let one: TestKey;
let two: TestKey;
beforeAll(async () => {
  [one, two] = await Promise.all([makeKey('one'), makeKey('two')]);
});

function rotating() {
  let keys = [one.jwk];
  const live = {
    get keys() {
      return keys;
    },
  };
  const verifier = new TokenVerifier({ keys: live, issuer: ISSUER, clock: { nowMs: () => NOW * 1000 } });
  return { verify: (token: string) => verifier.verify(token, 'prod'), set: (...next: JWK[]) => void (keys = next) };
}

it('accepts tokens of a key as soon as it is there, and those of the key before', async () => {
  const { verify, set } = rotating();
  expect(await verify(await two.token(300))).toEqual({ ok: false, reason: 'foreign_token' });
  set(one.jwk, two.jwk);
  expect((await verify(await two.token(301))).ok).toBe(true);
  expect((await verify(await one.token(300))).ok).toBe(true);
});

it('rejects the tokens of a removed key, however often they were accepted before and whatever expiry they claim', async () => {
  const { verify, set } = rotating();
  set(one.jwk, two.jwk);
  const forged = await one.token(1_000_000_000);
  expect((await verify(forged)).ok).toBe(true);
  set(two.jwk);
  expect(await verify(forged)).toEqual({ ok: false, reason: 'foreign_token' });
});

it('drops no cached token when a key is added', async () => {
  const { verify, set } = rotating();
  const token = await one.token(300);
  const before = await verify(token);
  set(one.jwk, two.jwk);
  const after = await verify(token);
  // The very object that was cached.
  expect(before.ok && after.ok && before.value === after.value).toBe(true);
});

it('verifies nothing that is longer than a token of ours', async () => {
  const { verify } = rotating();
  expect((await verify(await one.token(300, { pad: 'x'.repeat(2_000) }))).ok).toBe(true);
  expect(await verify(await one.token(300, { pad: 'x'.repeat(4_096) }))).toEqual({
    ok: false,
    reason: 'malformed_token',
  });
});
