import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { FILES, errorsOf, settings, temporaryDirectory, writeFiles } from './sandbox.ts';

const ENV = {
  PORTCULLIS_PUBLIC_URL: 'https://portcullis.example.com',
  PORTCULLIS_API_PUBLIC_URL: 'https://api.example.com:6443',
  PORTCULLIS_REDIS_URL: 'rediss://redis.example.com',
  PORTCULLIS_OIDC_ISSUER: 'https://login.example.com',
  PORTCULLIS_OIDC_CLIENT_ID: 'portcullis',
  PORTCULLIS_KUBE_SERVER: 'https://10.0.0.1:6443',
  PORTCULLIS_KUBE_TOKEN_FILE: 'token',
  PORTCULLIS_TLS_CERT_FILE: 'tls.crt',
  PORTCULLIS_TLS_KEY_FILE: 'tls.key',
  PORTCULLIS_KEYS_DIR: 'keys',
  PORTCULLIS_ADMIN_GROUPS: 'oidc:platform, oidc:security',
};

async function load(env: Record<string, string | undefined>) {
  const workingDirectory = temporaryDirectory();
  writeFiles(workingDirectory, FILES);
  return { directory: workingDirectory, outcome: await loadConfig({ env, workingDirectory }) };
}

const errors = async (env: Record<string, string | undefined>) => {
  const { outcome } = await load(env);
  return outcome.ok ? [] : outcome.reason;
};

test('makes one provider, one cluster and Redis', async () => {
  const { directory, outcome } = await load(ENV);
  expect(outcome).toMatchObject({
    ok: true,
    value: {
      warnings: [],
      config: {
        store: { kind: 'redis', url: 'rediss://redis.example.com' },
        keys: { signingDir: join(directory, 'keys/signing') },
        providers: [{ name: 'oidc', usernamePrefix: 'oidc:', username: 'claims.email', groups: 'claims.groups' }],
        clusters: [{ name: 'default', hosts: ['api.example.com'], publicUrl: 'https://api.example.com:6443' }],
        admin: { groups: ['oidc:platform', 'oidc:security'] },
      },
    },
  });
});

test('keeps sessions in memory where that is said', async () => {
  const { outcome } = await load({ ...ENV, PORTCULLIS_REDIS_URL: 'memory' });
  expect(outcome).toMatchObject({ ok: true, value: { config: { store: { kind: 'memory' } } } });
});

test('names every variable that is missing or wrong, once', async () => {
  const found = await errors({
    PORTCULLIS_PUBLIC_URL: 'portcullis.example.com',
    PORTCULLIS_KUBE_TOKEN_FILE: 'nowhere',
  });
  expect(found.map(({ path }) => path).toSorted()).toEqual([
    'PORTCULLIS_API_PUBLIC_URL',
    'PORTCULLIS_KEYS_DIR',
    'PORTCULLIS_KUBE_SERVER',
    'PORTCULLIS_KUBE_TOKEN_FILE',
    'PORTCULLIS_OIDC_CLIENT_ID',
    'PORTCULLIS_OIDC_ISSUER',
    'PORTCULLIS_PUBLIC_URL',
    'PORTCULLIS_REDIS_URL',
    'PORTCULLIS_TLS_CERT_FILE',
    'PORTCULLIS_TLS_KEY_FILE',
  ]);
});

test('a file and variables together are an error, never a silent override', async () => {
  expect(await errorsOf(settings(), { PORTCULLIS_PUBLIC_URL: 'https://x.example.com' })).toEqual([
    { path: 'PORTCULLIS_PUBLIC_URL', expected: expect.stringContaining('not to be set') },
  ]);
});

test('PORTCULLIS_CONFIG names the file, and two files are an error', async () => {
  const none = join(temporaryDirectory(), 'none.yaml');
  expect(await errors({ PORTCULLIS_CONFIG: none })).toMatchObject([{ path: none }]);
  expect(await errorsOf(settings(), { PORTCULLIS_CONFIG: none })).toMatchObject([{ path: 'PORTCULLIS_CONFIG' }]);
});

test('an empty variable is not set', async () => {
  expect((await load({ ...ENV, PORTCULLIS_CONFIG: '', PORTCULLIS_OIDC_CLIENT_SECRET_FILE: '' })).outcome.ok).toBe(true);
  expect((await errors({ PORTCULLIS_PUBLIC_URL: '' }))[0]?.expected).toContain('a configuration');
});

test('a misspelt variable is an error, and a variable of Kubernetes is none', async () => {
  expect(await errors({ ...ENV, PORTCULLIS_OIDC_ISUER: 'x' })).toEqual([
    { path: 'PORTCULLIS_OIDC_ISUER', expected: 'no such variable; did you mean PORTCULLIS_OIDC_ISSUER?' },
  ]);
  const injected = {
    PORTCULLIS_PORT: 'tcp://10.0.0.1:443',
    PORTCULLIS_SERVICE_HOST: '10.0.0.1',
    PORTCULLIS_PORT_443_TCP_ADDR: 'x',
    PORTCULLIS_SERVICE_PORT_API: '1',
    PORTCULLIS_API_SERVICE_HOST: '1',
  };
  expect((await load({ ...ENV, ...injected, PORTCULLIS_NO_BROWSER: '1' })).outcome.ok).toBe(true);
});

test('rejects the variable by which Node trusts every certificate, with a file as well', async () => {
  const open = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
  const rejected = [{ path: 'NODE_TLS_REJECT_UNAUTHORIZED', expected: expect.stringContaining('NODE_EXTRA_CA_CERTS') }];
  expect(await errors({ ...ENV, ...open })).toEqual(rejected);
  expect(await errorsOf(settings(), open)).toEqual(rejected);
  expect(await errors({ ...ENV, NODE_TLS_REJECT_UNAUTHORIZED: '1' })).toEqual([]);
});
