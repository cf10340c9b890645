import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loaded, placesOf, settings } from './sandbox.ts';

const kubelogin = { id: 'kubelogin-prod', cluster: 'prod' };

const withClients = (...publicClients: readonly object[]): object => ({ ...settings(), sessions: { publicClients } });

describe('public clients', () => {
  test('have kubelogin’s redirect URIs, and their id for a name, where nothing else is said', async () => {
    const { config } = await loaded(withClients(kubelogin));
    expect(config.sessions.publicClients).toEqual([
      { ...kubelogin, name: 'kubelogin-prod', redirectUris: ['http://localhost:8000', 'http://localhost:18000'] },
    ]);
  });

  test.each([
    ['no cluster', { cluster: undefined }, 'cluster'],
    ['a cluster that there is not', { cluster: 'staging' }, 'cluster'],
    ['the plugin’s id', { id: 'portcullis-cli' }, 'id'],
    ['the id of browsers', { id: 'browser' }, 'id'],
    ['the id of workloads', { id: 'workload' }, 'id'],
    ['an id with a colon, as consoles have', { id: 'console:headlamp' }, 'id'],
    ['an empty name', { name: '' }, 'name'],
    ['a name that turns the line around', { name: 'kube\u202elogin' }, 'name'],
    ['no redirect URI', { redirectUris: [] }, 'redirectUris'],
    ['plain http beyond the laptop', { redirectUris: ['http://tool.example.com/callback'] }, 'redirectUris[0]'],
    ['a scheme of an app’s own', { redirectUris: ['com.example.tool:/callback'] }, 'redirectUris[0]'],
    ['no redirect at all', { redirectUris: ['urn:ietf:wg:oauth:2.0:oob'] }, 'redirectUris[0]'],
    ['a fragment', { redirectUris: ['https://tool.example.com/#'] }, 'redirectUris[0]'],
    ['user info', { redirectUris: ['https://prod@tool.example.com/'] }, 'redirectUris[0]'],
    ['a secret', { clientSecretFile: 'client-secret' }, 'clientSecretFile'],
  ])('refuse %s', async (_what, change, place) => {
    expect(await placesOf(withClients({ ...kubelogin, ...change }))).toEqual([`sessions.publicClients[0].${place}`]);
  });

  test('have an id each of their own', async () => {
    expect(await placesOf(withClients(kubelogin, kubelogin))).toEqual(['sessions.publicClients[1].id']);
  });

  test('the guide’s configuration is a good one', async () => {
    const guide = readFileSync(join(import.meta.dirname, '../../../docs/third-party-clients.md'), 'utf8');
    const blocks = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text ?? '') as object);
    const sections = blocks.filter((block) => 'sessions' in block);
    expect(sections).not.toHaveLength(0);
    for (const section of sections) await loaded({ ...settings(), ...section });
  });
});

test('bindings that are off are said at each start', async () => {
  const { config, warnings } = await loaded({ ...settings(), sessions: { binding: 'off' } });
  expect(config.sessions.binding).toBe('off');
  expect(JSON.stringify(warnings)).toMatch(/sessions\.binding is off: .*an attacker who copies one can use it/);
});
