import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { certifiedSigningKey, clientSigningKey } from '../../../src/config/client-key.ts';
import { newCertificate, newKey } from '../../support/client-keys.ts';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const OWN = { name: 'corp', issuer: 'https://login.example.com', clientId: 'portcullis' };
const GITHUB = { name: 'gh', type: 'github', clientId: 'portcullis', organizations: ['example'] };
const SECRET = { clientSecretFile: 'client-secret' };
const KEY = { clientKeyFile: 'tls.key' };
const CERT = { clientCertFile: 'tls.crt' };

/** The files of the sandbox hold neither key nor certificate; here they do. */
let pair: { readonly cert: string; readonly key: string };
beforeAll(async () => {
  pair = await newCertificate('CN=portcullis');
});

const withProvider = (provider: object): ReturnType<typeof settings> => ({
  ...settings(),
  providers: [{ ...OWN, ...provider }],
});
const files = () => ({ 'tls.key': pair.key, 'tls.crt': pair.cert });

test.each([
  ['nothing: a public client', {}],
  ['a secret alone', SECRET],
  ['basic', { clientAuth: 'basic', ...SECRET }],
  ['post', { clientAuth: 'post', ...SECRET }],
  ['private_key_jwt', { clientAuth: 'private_key_jwt', ...KEY }],
  ['private_key_jwt with a certificate', { clientAuth: 'private_key_jwt', ...KEY, ...CERT }],
  ['tls_client_auth', { clientAuth: 'tls_client_auth', ...KEY, ...CERT }],
  ['none', { clientAuth: 'none' }],
])('takes %s', async (_name, provider) => {
  const { config, directory } = await loaded(withProvider(provider), files());
  const located = Object.entries(provider).map(([key, value]) => [
    key,
    key.endsWith('File') ? `${directory}/${value}` : value,
  ]);
  expect(config.providers[0]).toMatchObject(Object.fromEntries(located));
});

test('takes the form for GitHub, which knows no other way', async () => {
  const { config } = await loaded({
    ...settings(),
    providers: [{ ...GITHUB, clientAuth: 'post', ...SECRET }],
    admin: {},
  });
  expect(config.providers[0]).toMatchObject({ clientAuth: 'post' });
});

test.each([
  ['a method that there is not', { clientAuth: 'client_secret_jwt', ...SECRET }, ['clientAuth']],
  ['basic without a secret', { clientAuth: 'basic' }, ['clientSecretFile']],
  ['post without a secret', { clientAuth: 'post' }, ['clientSecretFile']],
  ['post with a key beside', { clientAuth: 'post', ...SECRET, ...KEY }, ['clientKeyFile']],
  ['private_key_jwt without a key', { clientAuth: 'private_key_jwt' }, ['clientKeyFile']],
  ['private_key_jwt with a secret beside', { clientAuth: 'private_key_jwt', ...KEY, ...SECRET }, ['clientSecretFile']],
  ['a certificate without its key', { clientAuth: 'tls_client_auth', ...CERT }, ['clientKeyFile']],
  ['a key without its certificate', { clientAuth: 'tls_client_auth', ...KEY }, ['clientCertFile']],
  [
    'a certificate in the clear',
    { clientAuth: 'tls_client_auth', ...KEY, ...CERT, issuer: 'http://localhost:8080' },
    ['issuer'],
  ],
  ['a public client with a secret', { clientAuth: 'none', ...SECRET }, ['clientSecretFile']],
  ['a key that no method is chosen for', { ...SECRET, ...KEY, ...CERT }, ['clientCertFile', 'clientKeyFile']],
  ['a key that is not there', { clientAuth: 'private_key_jwt', clientKeyFile: 'missing' }, ['clientKeyFile']],
  ['a key that is none', { clientAuth: 'private_key_jwt', clientKeyFile: 'token' }, ['clientKeyFile']],
  [
    'a certificate that is none',
    { clientAuth: 'tls_client_auth', ...KEY, clientCertFile: 'token' },
    ['clientCertFile'],
  ],
  [
    'a certificate of another key',
    { clientAuth: 'tls_client_auth', ...CERT, clientKeyFile: 'other.key' },
    ['clientCertFile'],
  ],
  [
    'the same for assertions',
    { clientAuth: 'private_key_jwt', ...CERT, clientKeyFile: 'other.key' },
    ['clientCertFile'],
  ],
])('refuses %s', async (_name, provider, places) => {
  const content = withProvider(provider);
  const more = { ...files(), 'other.key': newKey('ec').pem };
  expect(await placesOf(content, more)).toEqual(places.map((place) => `providers[0].${place}`));
});

test.each([
  ['Basic', { clientAuth: 'basic', ...SECRET }, ['clientAuth']],
  ['a public client', { clientAuth: 'none', ...SECRET }, ['clientAuth']],
  ['a key', { clientAuth: 'private_key_jwt', ...SECRET, ...KEY }, ['clientAuth', 'clientKeyFile']],
])('refuses for GitHub %s', async (_name, provider, places) => {
  const content = { ...settings(), providers: [{ ...GITHUB, ...provider }], admin: {} };
  expect(await placesOf(content, files())).toEqual(places.map((place) => `providers[0].${place}`));
});

test('quotes no key', async () => {
  const content = withProvider({ clientAuth: 'private_key_jwt', clientKeyFile: 'half.json' });
  const errors = await errorsOf(content, {}, { 'half.json': '{"kty":"EC","d":"very-secret' });
  expect(errors).toMatchObject([{ path: 'providers[0].clientKeyFile' }]);
  expect(JSON.stringify(errors)).not.toContain('very-secret');
});

describe('a key signs by', () => {
  test.each([
    ['EC on P-256', newKey('ec').pem, ['ES256']],
    ['Ed25519', newKey('ed25519').pem, ['EdDSA']],
    ['RSA', newKey('rsa').pem, ['RS256', 'PS256']],
    ['RSA for PS256', JSON.stringify({ ...newKey('rsa').privateJwk, alg: 'PS256' }), ['PS256']],
    [
      'EC in its older form',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'sec1', format: 'pem' }),
      ['ES256'],
    ],
  ])('%s', (_name, text, algs) => {
    expect(clientSigningKey(String(text)).algs).toEqual(algs);
  });

  test('PS256 first, where the provider finds it by its certificate', async () => {
    expect(certifiedSigningKey(pair).algs).toEqual(['ES256']);
    expect(certifiedSigningKey(await newCertificate('CN=portcullis', 'rsa')).algs).toEqual(['PS256', 'RS256']);
  });

  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  test.each([
    ['nothing', ''],
    ['a public key', generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })],
    ['a public JWK', JSON.stringify(newKey('ec').jwk)],
    ['half a JWK', '{"kty":'],
    ['RSA of 1024 bits', rsa1024.export({ type: 'pkcs8', format: 'pem' })],
    ['EC on another curve', p384.export({ type: 'pkcs8', format: 'pem' })],
    ['a JWK for an algorithm that it cannot sign by', JSON.stringify({ ...newKey('ec').privateJwk, alg: 'RS256' })],
    ['one that wants a passphrase', generateKeyPairSync('ed25519').privateKey.export(locked)],
  ])('not by %s', (_name, text) => {
    expect(() => clientSigningKey(String(text))).toThrow(/^a private key in PEM without a passphrase/);
  });
});
