import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FILES, errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const headlamp = { name: 'headlamp', host: 'headlamp.example.com', cluster: 'prod', server: 'https://headlamp.svc' };

const withConsoles = (...consoles: readonly object[]): object => ({ ...settings(), consoles });

describe('consoles', () => {
  test('are read, with their CA file made absolute', async () => {
    const { config, directory } = await loaded(withConsoles({ ...headlamp, caFile: Object.keys(FILES)[0] }));
    expect(config.consoles).toEqual([{ ...headlamp, caFile: join(directory, 'tls.crt') }]);
  });

  test.each([
    ['the host of our own pages', { host: 'portcullis.example.com' }, 'host'],
    ['the host of the api listener', { host: 'api.example.com' }, 'host'],
    ['a cluster’s host', { host: 'prod.example.com' }, 'host'],
    ['a host with a port', { host: 'headlamp.example.com:8443' }, 'host'],
    ['a host in upper case', { host: 'Headlamp.example.com' }, 'host'],
    ['a cluster that there is not', { cluster: 'staging' }, 'cluster'],
    ['plain http beyond loopback', { server: 'http://headlamp.svc' }, 'server'],
    ['a path', { server: 'https://headlamp.svc/headlamp' }, 'server'],
    ['a CA file that is not there', { caFile: 'nowhere.crt' }, 'caFile'],
  ])('refuse %s', async (_what, change, place) => {
    const [error, ...others] = await errorsOf(withConsoles({ ...headlamp, ...change }));
    expect(error?.path).toBe(`consoles[0].${place}`);
    expect(others).toEqual([]);
  });

  test('have a name and a host each of their own', async () => {
    expect(await placesOf(withConsoles(headlamp, headlamp))).toEqual(['consoles[1].host', 'consoles[1].name']);
  });
});
