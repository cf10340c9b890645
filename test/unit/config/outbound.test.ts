import { join } from 'node:path';
import { stringify } from 'yaml';
import { describe, expect, test } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { formatErrors, loadConfig } from '../../../src/config/load.ts';
import { configurationDigest } from '../../../src/server/server-events.ts';
import { errorsOf, FILES, settings, temporaryDirectory, writeFiles } from './sandbox.ts';

const WEBHOOK = { type: 'webhook', url: 'https://siem.example.com/audit' };
const WORKLOAD = { name: 'ci', issuer: 'https://ci.example.com', match: 'true', clusters: ['prod'] };

async function configOf(changes: object, env: Record<string, string> = {}): Promise<Config> {
  const directory = temporaryDirectory();
  const file = join(directory, 'portcullis.yaml');
  writeFiles(directory, {
    ...FILES,
    credentials: 'a:b\n',
    'portcullis.yaml': stringify({ ...settings(), ...changes }),
  });
  const outcome = await loadConfig({ file, env });
  if (!outcome.ok) throw new Error(formatErrors(outcome.reason));
  return outcome.value.config;
}

const provider = (more: object) => ({ providers: [{ ...settings().providers[0], ...more }] });
const proxyOf = async (changes: object, env?: Record<string, string>) =>
  (await configOf(changes, env)).providers[0]?.proxy;

const BY_FILE = { outbound: { proxy: 'http://file.example.com:3128', noProxy: ['.svc', '10.0.0.0/8'] } };
const BY_ENV = { https_proxy: 'env.example.com:8080', NO_PROXY: '.env' };

describe('the proxy of a destination', () => {
  test.each<[string, object, Record<string, string>, object | undefined]>([
    ['none at all', {}, {}, undefined],
    ['HTTPS_PROXY', {}, BY_ENV, { url: 'http://env.example.com:8080', setting: 'HTTPS_PROXY', noProxy: '.env' }],
    ['the upper case first', {}, { ...BY_ENV, HTTPS_PROXY: 'https://upper' }, { url: 'https://upper' }],
    [
      'outbound.proxy before HTTPS_PROXY',
      BY_FILE,
      BY_ENV,
      { url: 'http://file.example.com:3128', setting: 'outbound.proxy', noProxy: '.svc,10.0.0.0/8' },
    ],
    ['NO_PROXY with it', { outbound: { proxy: 'http://a:1' } }, BY_ENV, { url: 'http://a:1', noProxy: '.env' }],
    ['none in place of HTTPS_PROXY', { outbound: { proxy: 'none' } }, BY_ENV, undefined],
    ['none for it alone', { ...BY_FILE, ...provider({ proxy: 'none' }) }, {}, undefined],
    [
      'its own, without exceptions',
      { ...BY_FILE, ...provider({ proxy: 'https://own:1' }) },
      BY_ENV,
      { url: 'https://own:1', setting: 'providers[0].proxy', noProxy: '' },
    ],
  ])('is %s', async (_name, changes, env, expected) => {
    expect([await proxyOf(changes, env)]).toMatchObject([expected]);
  });

  test('is that of all for workloads’ issuers and webhooks too', async () => {
    const { workload, audit } = await configOf({ ...BY_FILE, workload: [WORKLOAD], audit: { sinks: [WEBHOOK] } });
    expect([workload[0]?.proxy?.url, audit.sinks[0]]).toMatchObject([
      BY_FILE.outbound.proxy,
      { proxy: { url: BY_FILE.outbound.proxy } },
    ]);
  });
});

describe('name and password of a proxy', () => {
  const secret = { HTTPS_PROXY: 'http://anna:p%25-canary@env:1' };

  test('are in no text of the configuration and no error', async () => {
    const config = await configOf({}, secret);
    expect(config.providers[0]?.proxy?.credentials?.()).toBe('anna:p%-canary');
    expect(JSON.stringify(config)).not.toContain('canary');
    const other = await configOf({}, { HTTPS_PROXY: 'http://anna:other@env:1' });
    expect(configurationDigest({ ...other, ...pathsOf(config) })).toBe(configurationDigest(config));
    const errors = [
      ...(await errorsOf({ ...settings(), outbound: { proxy: 'http://anna:canary@a:1' } })),
      ...(await errorsOf(settings(), { HTTPS_PROXY: 'socks5://anna:canary@a:1' })),
      ...(await errorsOf({ ...settings(), outbound: { proxy: 'http://a:1', proxyCredentialsFile: 'anna:canary' } })),
    ];
    expect(errors.map(({ path }) => path)).toEqual(['outbound.proxy', 'HTTPS_PROXY', 'outbound.proxyCredentialsFile']);
    expect(formatErrors(errors)).not.toContain('canary');
  });

  test('go to no other proxy', async () => {
    const outbound = { ...BY_FILE.outbound, proxyCredentialsFile: 'credentials' };
    const own = await proxyOf({ outbound, ...provider({ proxy: 'http://own:1' }) }, secret);
    expect(own).toEqual({ url: 'http://own:1', setting: 'providers[0].proxy', noProxy: '' });
  });
});

/** What differs because each configuration is in a folder of its own. */
const pathsOf = ({ keys, listen, clusters }: Config) => ({ keys, listen, clusters });

test.each<[string, object]>([
  ['outbound.proxy', { outbound: { proxy: 'socks5://a:1' } }],
  ['outbound.proxy', { outbound: { proxy: 'a:1' } }],
  ['outbound.proxy', { outbound: { proxy: 'http://a:1/path' } }],
  ['outbound.noProxy[0]', { outbound: { noProxy: ['a,b'] } }],
  ['outbound.proxyCredentialsFile', { outbound: { proxy: 'none', proxyCredentialsFile: 'token' } }],
  ['providers[0].proxyCredentialsFile', provider({ proxyCredentialsFile: 'token' })],
  ['providers[0].proxyCredentialsFile', provider({ proxy: 'none', proxyCredentialsFile: 'token' })],
  ['audit.sinks[0].proxyCredentialsFile', { audit: { sinks: [{ ...WEBHOOK, proxyCredentialsFile: 'token' }] } }],
])('%s is a validation error: %j', async (path, changes) => {
  expect((await errorsOf({ ...settings(), ...changes })).map((error) => error.path)).toEqual([path]);
});

test('a proxy that the environment names wrongly does not matter where the file names one', async () => {
  expect(await proxyOf(BY_FILE, { HTTPS_PROXY: 'socks5://a:1' })).toMatchObject({ setting: 'outbound.proxy' });
});
