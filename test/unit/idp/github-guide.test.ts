import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { warningsOf } from '../../../src/config/warnings.ts';
import { compileMapping, mapClaims } from '../../../src/core/identity/claims.ts';
import { identityProviders } from '../../../src/server/dependencies.ts';
import { githubEndpoints } from '../../../src/idp/github/endpoints.ts';
import { createReloading } from '../../../src/server/reload.ts';
import { createLogger, createMetrics } from '../../../src/telemetry/telemetry.ts';
import { loaded, placesOf, settings } from '../config/sandbox.ts';

const guide = readFileSync(join(import.meta.dirname, '../../../docs/providers/github.md'), 'utf8');
const samples = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) =>
  text.replaceAll('/etc/portcullis/github/', ''),
);

/** GitHub's claims of a user, as they are documented. */
const CLAIMS = {
  id: 583_231,
  login: 'alice',
  organizations: [{ id: 9919, login: 'example' }],
  teams: [{ id: 7001, slug: 'platform', organization: 'example', organization_id: 9919 }],
};

type Settings = Record<string, unknown>;

const github = (change: Settings): object => {
  const { providers: _corp, ...rest } = settings();
  const base = {
    name: 'gh',
    type: 'github',
    clientId: 'x',
    clientSecretFile: 'client-secret',
    organizations: ['acme'],
  };
  return { ...rest, providers: [{ ...base, ...change }] };
};

describe('the guide', () => {
  it.each([
    ['by name', 0, 'github:alice', ['github:example/platform'], {}],
    ['by id', 1, 'github:583231', ['github:7001'], { 'example.com/login': ['alice'] }],
  ])('shows a configuration that loads and maps as it says: %s', async (_name, index, username, groups, extra) => {
    const { providers: _corp, ...rest } = settings();
    const { config } = await loaded({ ...rest, ...(parse(samples[index] ?? '') as Settings) });
    const [provider] = config.providers;
    const mapping = provider === undefined ? undefined : compileMapping(provider);
    if (mapping?.ok !== true) throw new Error('the mapping does not compile');
    expect(mapClaims(mapping.value, CLAIMS, 'github/583231')).toEqual({
      ok: true,
      value: { username, uid: 'github/583231', groups, extra },
    });
  });

  it('has no other YAML', () => expect(samples).toHaveLength(2));

  it('says which defaults there are', async () => {
    const shown = (parse(samples[0] ?? '') as { providers: Settings[] }).providers[0] ?? {};
    const { usernamePrefix: _u, groupsPrefix: _g, username: _n, groups: _t, ...bare } = shown;
    const [given, byDefault] = [await loaded(github(shown)), await loaded(github(bare))];
    expect(byDefault.config.providers).toEqual(
      given.config.providers.map((provider) => ({
        ...provider,
        clientSecretFile: byDefault.config.providers[0]?.clientSecretFile,
      })),
    );
  });
});

describe('a provider of type github', () => {
  it('has an issuer of its own, and keeps an Enterprise host', async () => {
    const [cloud, enterprise] = [await loaded(github({})), await loaded(github({ host: 'github.example.com:8443' }))];
    expect(cloud.config.providers[0]).toMatchObject({ issuer: 'https://github.com', organizations: ['acme'] });
    expect(enterprise.config.providers[0]).toMatchObject({
      issuer: 'https://github.example.com:8443',
      host: 'github.example.com:8443',
    });
  });

  it.each([
    ['no organisations at github.com', { organizations: undefined }, ['providers[0].organizations']],
    ['an empty list', { organizations: [] }, ['providers[0].organizations']],
    ['an organisation that is a path', { organizations: ['acme/../x'] }, ['providers[0].organizations[0]']],
    ['an id that is no id', { organizations: [-1] }, ['providers[0].organizations[0]']],
    ['a host with a scheme', { host: 'https://github.example.com' }, ['providers[0].host']],
    ['no secret', { clientSecretFile: undefined }, ['providers[0].clientSecretFile']],
    ['an issuer', { issuer: 'https://github.com' }, ['providers[0].issuer']],
    [
      'settings that would do nothing',
      { scopes: ['openid'], hosts: ['x'] },
      ['providers[0].hosts', 'providers[0].scopes'],
    ],
    [
      'another type with them',
      { type: 'okta', issuer: 'https://x.example', host: 'a' },
      ['providers[0].host', 'providers[0].organizations'],
    ],
  ])('is refused with %s', async (_name, change, places) => {
    expect(await placesOf(github(change))).toEqual(places);
  });

  it('sends users to its host, with its client id and the callback of its own name', async () => {
    const { config } = await loaded(github({ host: 'github.example.com' }));
    const logger = createLogger({ level: 'error', destination: { write: () => {} } });
    const reloading = createReloading({ logger, metrics: createMetrics() });
    const provider = identityProviders(config, reloading, logger).get('gh');
    const begun = await provider?.begin();
    expect(begun?.url.origin).toBe('https://github.example.com');
    expect(begun?.url.searchParams.get('client_id')).toBe('x');
    expect(begun?.url.searchParams.get('redirect_uri')).toBe('https://portcullis.example.com/callback/gh');
    expect(provider?.provesFreshness).toBe(false);
    expect(provider?.logout).toBeUndefined();
  });

  it('need not name organisations at an Enterprise host, and is warned about where any account may sign in', async () => {
    const enterprise = await loaded(github({ organizations: undefined, host: 'github.example.com' }));
    expect(enterprise.config.providers[0]).not.toHaveProperty('organizations');
    const open = await loaded(github({ organizations: '*' }));
    expect(JSON.stringify(warningsOf(open.config))).toContain('anyone with an account at github.com');
  });
});

describe('where a GitHub is', () => {
  it.each([
    ['github.com', 'https://github.com/login/oauth/authorize', 'https://api.github.com'],
    ['octo.ghe.com', 'https://octo.ghe.com/login/oauth/authorize', 'https://api.octo.ghe.com'],
    ['github.example.com', 'https://github.example.com/login/oauth/authorize', 'https://github.example.com/api/v3'],
    ['notghe.com', 'https://notghe.com/login/oauth/authorize', 'https://notghe.com/api/v3'],
  ])('follows from its host alone: %s', (host, authorize, api) => {
    expect(githubEndpoints(host)).toMatchObject({ authorize, api });
  });
});
