import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorsOf, loaded, settings } from './sandbox.ts';

const SECRET = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
const FILES = { secret: `${SECRET}\n`, channel: 'https://hooks.example.com/services/T0/B0/x?sig=y\n' };
const json = { name: 'tickets', url: 'https://tickets.example.com/hook', secretFile: 'secret' };
const slack = { name: 'channel', format: 'slack', urlFile: 'channel' };

const role = {
  name: 'shop-admins',
  description: 'Repairs',
  groups: ['granted:shop-admins'],
  requesters: ['corp:dev'],
  approval: 'none',
  longest: '1h',
};
const withNotify = (...notify: readonly object[]): object => ({ ...settings(), access: { roles: [role], notify } });

test('receivers have their files below the configuration’s own folder, and the proxy of all destinations', async () => {
  const given = withNotify(
    { ...json, timeout: '5s', caFile: 'tls.crt', events: ['requested'] },
    { ...slack, proxy: 'none' },
  );
  const { config, directory } = await loaded({ ...given, outbound: { proxy: 'http://proxy.example.com:3128' } }, FILES);
  const [first, second] = config.access.notify;
  expect(first).toEqual({
    ...json,
    format: 'json',
    secretFile: join(directory, 'secret'),
    caFile: join(directory, 'tls.crt'),
    timeout: 5,
    events: ['requested'],
    proxy: { url: 'http://proxy.example.com:3128', setting: 'outbound.proxy', noProxy: '' },
  });
  expect(second).toEqual({ ...slack, urlFile: join(directory, 'channel'), timeout: 10 });
});

describe('a receiver is rejected', () => {
  const secret = (content: string) => ({ ...FILES, secret: content });
  const channel = (content: string) => ({ ...FILES, channel: content });
  test.each<[string, readonly object[], string, Record<string, string>]>([
    ['that has no URL', [{ ...json, url: undefined }], '', FILES],
    ['that has two', [{ ...json, urlFile: 'channel' }], '', FILES],
    ['whose notices could not be verified', [{ ...json, secretFile: undefined }], 'secretFile', FILES],
    ['of a channel whose URL is in the configuration', [{ ...slack, url: json.url }], 'url', FILES],
    ['of a channel without a URL', [{ ...slack, urlFile: undefined }], 'urlFile', FILES],
    ['of an unknown format', [{ ...json, format: 'email' }], 'format', FILES],
    ['that wants an event that there is not', [{ ...json, events: ['approve'] }], 'events[0]', FILES],
    ['that wants a role that there is not', [{ ...json, roles: ['shop'] }], 'roles[0]', FILES],
    ['that has no event left', [{ ...json, events: [] }], 'events', FILES],
    ['whose URL has a query', [{ ...json, url: `${json.url}?key=1` }], 'url', FILES],
    ['with a short secret', [json], 'secretFile', secret(`whsec_${Buffer.alloc(23, 1).toString('base64')}`)],
    ['with a secret that is no base64', [json], 'secretFile', secret(`${SECRET.slice(0, -4)}-_*!`)],
    ['with a secret without its prefix', [json], 'secretFile', secret(SECRET.slice(6))],
    ['with four secrets', [json], 'secretFile', secret(`${SECRET}\n`.repeat(4))],
    ['with plain http in its file', [slack], 'urlFile', channel('http://hooks.example.com/x')],
    ['with a password in its file', [slack], 'urlFile', channel('https://me:pass@hooks.example.com/x')],
    ['with two URLs in its file', [slack], 'urlFile', channel('https://a.example.com/\nhttps://b.example.com/')],
  ])('%s', async (_, notify, place, files) => {
    const errors = await errorsOf(withNotify(...notify), {}, files);
    const base = 'access.notify[0]';
    expect(errors.map(({ path }) => path)).toEqual([place === '' ? base : `${base}.${place}`]);
    // What a file holds is a secret.
    expect(JSON.stringify(errors)).not.toMatch(/AQEB|pass@|services/);
  });

  test('that has the name of another', async () => {
    const errors = await errorsOf(withNotify(json, { ...slack, name: 'tickets' }), {}, FILES);
    expect(errors.map(({ path }) => path)).toEqual(['access.notify[1].name']);
  });

  test('that has a password for a proxy that it does not have', async () => {
    const errors = await errorsOf(withNotify({ ...json, proxyCredentialsFile: 'secret' }), {}, FILES);
    expect(errors.map(({ path }) => path)).toEqual(['access.notify[0].proxyCredentialsFile']);
  });
});
