import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { judgeClaims } from '../../../src/commands/claims-check.ts';
import { compileMapping, mapClaims } from '../../../src/core/identity/claims.ts';
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
      expect(warnings.filter(({ setting }) => setting.startsWith('providers['))).toEqual([]);
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
])('the first configuration of %s admits such a user', async (name, claims, groups) => {
  const { config } = await loaded(blocksOf(name)[0] ?? {});
  const [provider] = config.providers;
  if (provider === undefined) throw new Error('there is no provider');
  const mapping = compileMapping(provider);
  if (!mapping.ok) throw new Error(JSON.stringify(mapping.reason));
  expect(mapClaims(mapping.value, claims, `${provider.name}/1`)).toMatchObject({ ok: true, value: { groups } });
});

/** Of the table that says what to set, those that take one string apart: by spaces, and by a separator of one's own. */
const [bySpaces = '', bySeparator = ''] = [
  ...readFileSync(join(guides, 'oidc.md'), 'utf8').matchAll(/`groups: (claims\.\?groups\.orValue\(""\)\.split[^`]+)`/g),
].map(([, expression]) => expression);

const DEV_AND_OPS = ['corp:dev', 'corp:ops'];

test.each<readonly [string, string, string | undefined, readonly string[]]>([
  ['with spaces', bySpaces, 'dev ops', DEV_AND_OPS],
  ['with two spaces', bySpaces, 'dev  ops', DEV_AND_OPS],
  ['with spaces, and none is there', bySpaces, '', []],
  ['with spaces, and the claim is missing', bySpaces, undefined, []],
  ['with commas', bySeparator, 'dev, ops', DEV_AND_OPS],
  ['with semicolons', bySeparator.replace('","', '";"'), 'dev;ops', DEV_AND_OPS],
  ['one a line', bySeparator.replace('","', String.raw`"\n"`), 'dev\r\nops', DEV_AND_OPS],
  ['with empty ones', bySeparator, 'dev,, ops,', DEV_AND_OPS],
  ['with commas, and none is there', bySeparator, '', []],
  ['with commas, and the claim is missing', bySeparator, undefined, []],
])('oidc.md takes groups in one string apart: %s', async (_name, groups, said, expected) => {
  const provider = {
    name: 'corp',
    issuer: 'https://login.example.com',
    clientId: 'portcullis',
    username: 'claims.sub',
  };
  const { config } = await loaded({ ...settings(), providers: [{ ...provider, groups }] });
  expect(judgeClaims(config, 'corp', { sub: '1', ...(said === undefined ? {} : { groups: said }) })).toMatchObject({
    ok: true,
    value: { allowed: true, identity: { groups: expected } },
  });
});
