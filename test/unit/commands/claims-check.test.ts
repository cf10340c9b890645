import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { formatVerdict, judgeClaims, readClaims, type ClaimsVerdict } from '../../../src/commands/claims-check.ts';
import type { Claims } from '../../../src/core/identity/types.ts';
import { loaded, settings, writeFiles } from '../config/sandbox.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';
const OID = '0b4e2f6c-7a55-4f52-9c1e-3f0c2b7d9a10';

const PROVIDERS = [
  {
    name: 'corp',
    issuer: 'https://login.example.com',
    clientId: 'portcullis',
    groups: 'claims.groups',
    extra: { 'example.com/desk': 'claims.desk' },
    rules: [
      { expression: 'claims.sub != "gone"', message: 'You have left.' },
      { expression: 'claims.hd.startsWith("example")', message: 'Only example.com.' },
    ],
    userRules: [{ expression: '!user.username.startsWith("corp:svc-")', message: 'No robots.' }],
  },
  { name: 'entra', type: 'entra', tenant: TENANT, clientId: 'portcullis' },
  {
    name: 'google',
    type: 'google',
    clientId: 'portcullis',
    rules: [{ expression: 'claims.hd == "example.com"', message: 'Only example.com.' }],
  },
  { name: 'okta', type: 'okta', issuer: 'https://example.okta.com', clientId: 'portcullis' },
  { name: 'keycloak', type: 'keycloak', issuer: 'https://keycloak.example.com/realms/example', clientId: 'portcullis' },
  {
    name: 'github',
    type: 'github',
    organizations: ['example'],
    clientId: 'portcullis',
    clientSecretFile: 'client-secret',
  },
];

const WORKLOAD = [
  {
    name: 'ci',
    issuer: 'https://token.actions.githubusercontent.com',
    match: 'claims.repository_owner == "example"',
    username: 'claims.repository',
    clusters: ['staging'],
  },
  { name: 'probe', issuer: 'https://gitlab.example.com', match: 'true', username: 'claims.sub', role: 'drill' },
];

const cluster = (name: string, allow: string): object => ({
  name,
  hosts: [`${name}.example.com`],
  server: 'https://10.0.0.1:6443',
  tokenFile: 'token',
  impersonate: { groups: '*' },
  allow,
});

async function judged(name: string | undefined, claims: Claims, changes: object = {}): Promise<ClaimsVerdict> {
  const outcome = await tried(name, claims, changes);
  if (!outcome.ok) throw new Error(outcome.reason);
  return outcome.value;
}

async function tried(name: string | undefined, claims: Claims, changes: object = {}) {
  const { config } = await loaded({
    ...settings(),
    providers: PROVIDERS,
    workload: WORKLOAD,
    clusters: [cluster('prod', '"corp:platform" in user.groups'), cluster('staging', 'true')],
    admin: { groups: ['corp:platform'], auditors: ['entra:auditors'] },
    ...changes,
  });
  return judgeClaims(config, name, claims);
}

const ALICE = { sub: '4711', email: 'alice@example.com', email_verified: true, hd: 'example.com' };

describe('the user that claims would make', () => {
  test.each([
    ['claims.groups', 'claims.groups', { groups: 'dev; ops' }],
    ['claims.realm.roles', 'claims.realm.roles', { realm: { roles: 'dev ops' } }],
    [undefined, 'claims.groups', { groups: 'dev' }],
    [undefined, 'claims.groups', { groups: ['dev; ops'], name: 'dev; ops' }],
    [undefined, 'claims.groups.split("; ")', { groups: 'dev; ops' }],
  ])('with a note that %s is one text and one group, where %s has %j', async (claim, groups, claims) => {
    const corp = { ...PROVIDERS[0], rules: [], groups };
    const { notes } = await judged('corp', { ...ALICE, ...claims }, { providers: [corp] });
    const found = notes.filter((note) => note.includes('one group'));
    expect(found.map((note) => note.split(' ', 1)[0])).toEqual(claim === undefined ? [] : [claim]);
  });

  test('with names, uid, extra, clusters and role', async () => {
    const verdict = await judged('corp', { ...ALICE, groups: ['dev', 'platform'], desk: '7' });
    expect(verdict).toMatchObject({
      allowed: true,
      account: 'corp/4711',
      identity: {
        username: 'corp:alice@example.com',
        uid: 'corp/4711',
        groups: ['corp:dev', 'corp:platform'],
        extra: { 'example.com/desk': ['7'] },
      },
      clusters: ['prod', 'staging'],
      role: 'admin',
    });
    expect(await judged('corp', ALICE)).toMatchObject({ clusters: ['staging'], role: 'none' });
  });

  test.each([
    [
      'entra',
      { tid: TENANT, oid: OID, preferred_username: 'a@example.com', groups: ['auditors'] },
      { account: `entra/${TENANT}.${OID}`, identity: { username: 'entra:a@example.com' }, role: 'auditor' },
    ],
    ['google', ALICE, { account: 'google/4711', identity: { username: 'google:alice@example.com', groups: [] } }],
    ['okta', { sub: '00u1', preferred_username: 'a', groups: ['dev'] }, { identity: { groups: ['okta:dev'] } }],
    ['keycloak', { sub: '1', preferred_username: 'a', groups: ['/dev'] }, { identity: { groups: ['keycloak:/dev'] } }],
    [
      'github',
      { id: 583231, login: 'alice', teams: [{ id: 1, slug: 'dev', organization: 'example', organization_id: 2 }] },
      { account: 'github/583231', identity: { username: 'github:alice', groups: ['github:example/dev'] } },
    ],
    [
      'ci',
      { sub: 'repo:example/shop', repository_owner: 'example', repository: 'example/shop' },
      {
        account: 'ci/repo:example/shop',
        identity: { username: 'ci:example/shop' },
        clusters: ['staging'],
        role: 'none',
      },
    ],
    ['probe', { sub: 'p' }, { identity: { username: 'probe:p' }, clusters: [], role: 'drill' }],
  ])('with the defaults of %s', async (name, claims, expected) => {
    expect(await judged(name, claims)).toMatchObject({ allowed: true, ...expected });
  });

  test.each([
    ['corp', { ...ALICE, sub: 'gone' }, 'rule_refused', 'providers[0].rules[0]'],
    ['corp', { ...ALICE, hd: undefined }, 'rule_error', 'providers[0].rules[1]'],
    ['corp', { ...ALICE, email: 'svc-a@example.com' }, 'rule_refused', 'providers[0].userRules[0]'],
    ['corp', { ...ALICE, email_verified: 'false' }, 'email_unverified', 'providers[0].emailVerified'],
    ['corp', { ...ALICE, email_verified: undefined }, 'email_verification_unknown', 'providers[0].emailVerified'],
    ['corp', { ...ALICE, groups: [1] }, 'groups_not_strings', 'providers[0].groups'],
    ['corp', { ...ALICE, desk: 7 }, 'extra_not_strings', 'providers[0].extra.example.com/desk'],
    ['corp', { ...ALICE, sub: undefined }, 'subject_missing', 'claims.sub'],
    ['entra', { tid: 'other', oid: OID, preferred_username: 'a' }, 'tenant_foreign', 'providers[1].tenant'],
    ['entra', { tid: TENANT, preferred_username: 'a' }, 'oid_missing', 'claims.oid'],
    [
      'entra',
      { tid: TENANT, oid: OID, preferred_username: 'a', _claim_names: { groups: 'src1' } },
      'groups_overage',
      'providers[1].groups',
    ],
    ['google', { ...ALICE, hd: 'other.example' }, 'rule_refused', 'providers[2].rules[0]'],
    ['github', { login: 'alice', teams: [] }, 'subject_missing', 'claims.id'],
    ['github', { id: 1, login: 'alice' }, 'expression_error', 'providers[5].groups'],
    ['ci', { sub: 's', repository_owner: 'mallory' }, 'rule_refused', 'workload[0].match'],
    ['ci', { sub: 's' }, 'rule_error', 'workload[0].match'],
    ['ci', { sub: 's', iss: 'https://other.example' }, 'issuer_unknown', 'workload[0].issuer'],
    ['ci', { sub: 's', repository_owner: 'example' }, 'username_not_string', 'workload[0].username'],
  ])('or which rule refuses them: %s, %j: %s', async (name, claims, reason, place) => {
    const verdict = await judged(name, claims);
    expect(verdict).toMatchObject({ allowed: false, refusal: { reason, place, message: expect.any(String) } });
  });

  test('with what is wrong where an expression cannot be evaluated', async () => {
    const verdict = await judged('corp', { ...ALICE, hd: 7 });
    expect(verdict).toMatchObject({ refusal: { fault: expect.stringContaining('startsWith') } });
    expect(formatVerdict(verdict)).toMatch(/error\s+found no matching overload/);
  });

  test.each([
    ['corp', ALICE, /UserInfo/],
    ['entra', { _claim_names: { groups: 'src1' } }, /Microsoft Graph/],
    ['github', {}, /GitHub’s API/],
    ['ci', {}, /signature, the audience/],
  ])('and says what a sign-in does besides: %s', async (name, claims, message) => {
    expect((await judged(name, claims)).notes.join(' ')).toMatch(message);
  });

  test('and how disabled users are found out, where no rule is asked at a re-check', async () => {
    const [corp] = PROVIDERS;
    const without = { ...corp, rules: [], userRules: [] };
    const notes = async (provider: object) => (await judged('corp', ALICE, { providers: [provider] })).notes.join(' ');
    expect(await notes(without)).toMatch(/No rule is set.*Disable a test user.*claims\.active == true/);
    const rules = [{ expression: 'claims.sub != "gone"', message: 'No.' }];
    expect(await notes({ ...without, rules })).not.toContain('Disable a test user');
    // Keycloak refuses by itself.
    expect((await judged('keycloak', { sub: '1', preferred_username: 'a' })).notes.join(' ')).not.toContain('Disable');
  });

  test('and that Google’s groups come from its Directory API, where that is asked', async () => {
    const [, , google] = PROVIDERS;
    const { directory } = await loaded(settings());
    writeFiles(directory, { 'key.json': '{}' });
    const withGroups = { ...google, serviceAccountFile: `${directory}/key.json`, impersonatedAdmin: 'a@example.com' };
    const verdict = await judged(undefined, { ...ALICE, groups: ['g@example.com'] }, { providers: [withGroups] });
    expect(verdict).toMatchObject({ identity: { groups: ['google:g@example.com'] } });
    expect(verdict.notes.join(' ')).toContain('Directory API');
  });
});

describe('whose claims they are', () => {
  test('need not be said where there is one provider', async () => {
    expect(await judged(undefined, ALICE, { providers: [PROVIDERS[0]] })).toMatchObject({ provider: 'corp' });
  });

  test.each([undefined, 'other'])('has to be one of several: %s', async (name) => {
    const outcome = await tried(name, ALICE);
    expect(outcome).toMatchObject({ ok: false, reason: expect.stringContaining('corp, entra') });
    expect(outcome).toMatchObject({ ok: false, reason: expect.stringContaining('ci') });
  });
});

describe('as text', () => {
  test('all of it, one value a line', async () => {
    const text = formatVerdict(await judged('corp', { ...ALICE, groups: ['dev', 'platform'], desk: '7' }));
    expect(text.split('\n')).toEqual([
      'corp (oidc): allowed',
      '  account                 corp/4711',
      '  username                corp:alice@example.com',
      '  uid                     corp/4711',
      '  groups                  corp:dev',
      '                          corp:platform',
      '  extra example.com/desk  7',
      '  clusters                prod',
      '                          staging',
      '  role                    admin',
      expect.stringContaining('note: '),
    ]);
  });

  test('no character of a claim is obeyed by the terminal', async () => {
    const sub = '47\u001b[2J\u202e\u009b1';
    const verdict = await judged('corp', { ...ALICE, sub }, { providers: [{ ...PROVIDERS[0], uid: 'claims.hd' }] });
    expect(verdict).toMatchObject({ allowed: false });
    expect(formatVerdict(verdict)).toContain('(U+001B)');
    // The line ends are ours.
    expect(formatVerdict(verdict).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('the file of claims', () => {
  const read = (text: string): ReturnType<typeof readClaims> => readClaims(Readable.from([Buffer.from(text)]));

  test('is a JSON object, whatever its claims are called', async () => {
    expect(await read(' {"sub": "1", "__proto__": {"a": 1}}\n')).toMatchObject({ ok: true, value: { sub: '1' } });
  });

  test.each([
    ['', /not a JSON object/],
    ['[]', /not a JSON object/],
    ['null', /not a JSON object/],
    ['{"sub": canary}', /not a JSON object/],
    ['eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.', /a token, not claims/],
    [`{"a": "${'x'.repeat(1024 * 1024)}"}`, /larger than/],
  ])('and nothing else: %.40s', async (text, message) => {
    const outcome = await read(text);
    expect(outcome).toMatchObject({ ok: false, reason: expect.stringMatching(message) });
    expect(JSON.stringify(outcome)).not.toContain('canary');
  });
});
