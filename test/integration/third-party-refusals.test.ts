/** The message for a rejected user of a third-party client: it helps with that client, and depends on nothing that an attacker can send. */
import { randomUUID } from 'node:crypto';
import { generateKeyPair, type JWTPayload } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterAudience, PLUGIN_CLIENT_ID } from '../../src/core/core.ts';
import { call, claimsOf, sign, signIn, startPlane, type TestUser, type TestPlane } from '../support/data-plane.ts';

const PODS = '/api/v1/namespaces/default/pods';
const PLUGIN = 'run `portcullis login --server https://portcullis.test`';
const KUBELOGIN =
  'sign in again with kubelogin: delete the token that it keeps (kubelogin: `kubectl oidc-login clean`), then run the command again';
const EITHER = `${PLUGIN}, or sign in again with the client that you use instead`;
const OVER = 'your session was ended by an administrator or by signing out';
const NO_CREDENTIAL = 'no valid credential for this cluster';

let plane: TestPlane;
let alice: TestUser;
let claims: JWTPayload;
beforeAll(async () => {
  plane = await startPlane({ thirdParties: new Map([['kubelogin-prod', 'kubelogin']]) });
  alice = await signIn(plane);
  claims = claimsOf(alice.session, alice.thumbprint, await plane.store.log.position());
  await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
});
afterAll(() => plane.close());

const past = Math.floor(Date.now() / 1000) - 1;
const foreign = async (): Promise<CryptoKey> => (await generateKeyPair('ES256')).privateKey;

it.each<[string, string, JWTPayload, string]>([
  ['revoked, of kubelogin', `${OVER}: ${KUBELOGIN}`, {}, 'kubelogin-prod'],
  ['revoked, of the plugin', `${OVER}: ${PLUGIN}`, {}, PLUGIN_CLIENT_ID],
  ['of a session that never was', `your session has ended: ${KUBELOGIN}`, { sid: randomUUID() }, 'kubelogin-prod'],
  ['past its end, of kubelogin', `${NO_CREDENTIAL}: ${KUBELOGIN}`, { exp: past }, 'kubelogin-prod'],
  ['past its end, of the plugin', `${NO_CREDENTIAL}: ${PLUGIN}`, { exp: past }, PLUGIN_CLIENT_ID],
  ['for another cluster', `${NO_CREDENTIAL}: ${EITHER}`, { aud: clusterAudience('dev') }, 'kubelogin-prod'],
])('a token that is %s: %s', async (_name, message, changes, client_id) => {
  const token = await sign(plane.signingKey, { ...claims, jti: randomUUID(), ...changes, client_id });
  const answered = await call(plane, alice, PODS, { token });
  expect(answered.status).toBe(401);
  expect(answered.json().message).toBe(`${message} (audit id ${String(answered.headers['audit-id'])})`);
});

it.each([{}, { exp: past }])('a forged token has no influence by the client that it names: %j', async (changes) => {
  const token = await sign(await foreign(), { ...claims, ...changes, client_id: 'kubelogin-prod' });
  const answered = await call(plane, alice, PODS, { token });
  expect(answered.json().message).toContain(`${NO_CREDENTIAL}: ${EITHER} (`);
});

it('the warning of a session’s end names no command of Portcullis', async () => {
  const bob = await signIn(plane, { subject: 'bob', sessionLife: 300 });
  const position = await plane.store.log.position();
  const warned = async (client_id: string): Promise<string> => {
    const token = await sign(plane.signingKey, { ...claimsOf(bob.session, bob.thumbprint, position), client_id });
    return String((await call(plane, bob, PODS, { token })).headers['warning']);
  };
  expect(await warned('kubelogin-prod')).toMatch(/^299 - "your session ends in \d min; sign in again then"$/);
  expect(await warned(PLUGIN_CLIENT_ID)).toContain('portcullis login');
});
