import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { judgeClaims } from '../../../src/commands/claims-check.ts';
import { compileMapping, mapClaims } from '../../../src/core/claims.ts';
import { newCertificate } from '../../support/client-keys.ts';
import { loaded, settings, temporaryDirectory, writeFiles } from './sandbox.ts';

const guides = join(import.meta.dirname, '../../../docs/providers');
const names = readdirSync(guides).filter((name) => name.endsWith('.md'));

/** What a guide's client is known by, where it is not a secret. */
const { cert, key } = await newCertificate('CN=portcullis', 'rsa');
const contentOf = (file: string): string =>
  file.endsWith('client.key') ? key : file.endsWith('client.crt') ? cert : 'content\n';

/** Each YAML of a guide as a whole configuration, with the files that it names. */
function blocksOf(name: string): readonly object[] {
  const directory = temporaryDirectory();
  const text = readFileSync(join(guides, name), 'utf8').replaceAll('/etc/portcullis', directory);
  for (const [file] of text.matchAll(new RegExp(`${directory}/[\\w./-]+`, 'g'))) {
    writeFiles('/', { [file]: contentOf(file) });
  }
  return [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => ({ ...settings(), ...parse(yaml) }));
}

describe.each(names)('docs/providers/%s', (name) => {
  test('shows nothing but YAML that is a whole configuration of providers of its type, without a warning', async () => {
    const blocks = blocksOf(name);
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) {
      const { config, warnings } = await loaded(block);
      expect(warnings.filter((warning) => warning.startsWith('providers['))).toEqual([]);
      expect(config.providers.map(({ type }) => `${type}.md`)).toEqual([name]);
    }
  });
});

test.each([
  [
    'google.md',
    { sub: '1', email: 'a@example.com', email_verified: true, hd: 'example.com', groups: ['a@example.com'] },
    ['google:a@example.com'],
  ],
  ['entra.md', { sub: '1', preferred_username: 'a', groups: ['0f3c'], roles: ['Operator'] }, ['entra:0f3c']],
  ['okta.md', { sub: '1', preferred_username: 'a', groups: ['k8s-dev'] }, ['okta:k8s-dev']],
  ['keycloak.md', { sub: '1', preferred_username: 'a', groups: ['/dev'] }, ['keycloak:/dev']],
  ['oidc.md', { sub: '1', email: 'a@example.com', email_verified: true, groups: 'dev' }, ['corp:dev']],
])('the first configuration of %s lets such a person in', async (name, claims, groups) => {
  const { config } = await loaded(blocksOf(name)[0] ?? {});
  const [provider] = config.providers;
  if (provider === undefined) throw new Error('there is no provider');
  const mapping = compileMapping(provider);
  if (!mapping.ok) throw new Error(JSON.stringify(mapping.reason));
  expect(mapClaims(mapping.value, claims, `${provider.name}/1`)).toMatchObject({ ok: true, value: { groups } });
});

/** Of the table that says what to set, those that take one string apart. */
const splitting = [
  ...readFileSync(join(guides, 'oidc.md'), 'utf8').matchAll(/`groups: (claims\.groups\.split[^`]+)`/g),
];

test.each([
  ['with spaces', 'dev ops', 0],
  ['with commas', 'dev, ops', 1],
  ['with semicolons', 'dev;ops', 2],
  ['one a line', 'dev\r\nops', 3],
  ['with empty ones', 'dev,, ops,', 4],
] as const)('oidc.md takes groups in one string apart: %s', async (_name, said, row) => {
  expect(splitting).toHaveLength(5);
  const provider = {
    name: 'corp',
    issuer: 'https://login.example.com',
    clientId: 'portcullis',
    username: 'claims.sub',
  };
  const [, groups = ''] = splitting[row] ?? [];
  const { config } = await loaded({ ...settings(), providers: [{ ...provider, groups }] });
  expect(judgeClaims(config, 'corp', { sub: '1', groups: said })).toMatchObject({
    ok: true,
    value: { allowed: true, identity: { groups: ['corp:dev', 'corp:ops'] } },
  });
});
