import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileMapping, mapClaims } from '../../../../src/core/identity/claims.ts';
import { type Claims, type ClaimsProvider } from '../../../../src/core/identity/types.ts';

const PROVIDER: ClaimsProvider = {
  name: 'corp',
  usernamePrefix: 'corp:',
  groupsPrefix: 'corp:',
  username: 'claims.preferred_username',
  groups: 'claims.groups',
  extra: {},
  emailVerified: 'claim',
  rules: [],
  userRules: [],
};

function map(claims: Claims, changes: Partial<ClaimsProvider> = {}) {
  const mapping = compileMapping({ ...PROVIDER, ...changes });
  if (!mapping.ok) throw new Error(JSON.stringify(mapping.reason));
  return mapClaims(mapping.value, claims, 'corp/4711');
}

/** The rejection's reason and place; fails the test where the claims were accepted. */
function rejection(claims: Claims, changes: Partial<ClaimsProvider> = {}) {
  const outcome = map(claims, changes);
  if (outcome.ok) throw new Error(`accepted as ${JSON.stringify(outcome.value)}`);
  return outcome.reason;
}

const ALICE = { preferred_username: 'alice' };

describe('mapping claims', () => {
  test('gives prefixed names and the account as uid', () => {
    expect(map({ ...ALICE, groups: ['developers', 'ops'] })).toEqual({
      ok: true,
      value: { username: 'corp:alice', uid: 'corp/4711', groups: ['corp:developers', 'corp:ops'], extra: {} },
    });
  });

  test('removes duplicate groups and takes one string for one group', () => {
    expect(map({ ...ALICE, groups: ['a', 'b', 'a'] })).toMatchObject({ value: { groups: ['corp:a', 'corp:b'] } });
    expect(map({ ...ALICE, groups: 'a' })).toMatchObject({ value: { groups: ['corp:a'] } });
  });

  test('takes an absent groups claim, nested or not, for no groups', () => {
    expect(map(ALICE)).toMatchObject({ ok: true, value: { groups: [] } });
    expect(map(ALICE, { groups: 'claims.realm_access.roles' })).toMatchObject({ ok: true, value: { groups: [] } });
  });

  test('takes uid and extra from the claims', () => {
    const changes = {
      uid: 'claims.oid',
      extra: { 'example.com/team': 'claims.team', 'example.com/desk': 'claims.desk' },
    };
    expect(map({ ...ALICE, oid: 'o-1', team: ['red', 'red', 'blue'] }, changes)).toMatchObject({
      ok: true,
      value: { uid: 'o-1', extra: { 'example.com/team': ['red', 'blue'] } },
    });
  });
});

describe('names that are rejected', () => {
  const bidi = [0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069];
  const invisible = [
    0xad, 0x34f, 0x115f, 0x1160, 0x17b4, 0x180e, 0x200b, 0x200c, 0x200d, 0x2060, 0x2064, 0x2800, 0x3164,
  ];
  const others = [
    0, 9, 10, 13, 0x1f, 0x7f, 0x85, 0x9f, 0x2028, 0x2029, 0xfe0f, 0xfeff, 0xfffd, 0xd800, 0xdfff, 0xe0041, 0xe0100,
  ];
  test.each([...bidi, ...invisible, ...others])('rejects U+%i anywhere in a username or a group', (point) => {
    const name = `al${String.fromCodePoint(point)}ice`;
    expect(rejection({ preferred_username: name }).reason).toBe('username_characters');
    expect(rejection({ ...ALICE, groups: [name] }).reason).toBe('group_characters');
  });

  test.each([
    ['', 'username_empty'],
    [' alice', 'username_white_space'],
    ['alice ', 'username_white_space'],
    ['alice\u00a0', 'username_white_space'],
    ['alice\n', 'username_white_space'],
    ['a'.repeat(508), 'username_too_long'],
    ['ä'.repeat(254), 'username_too_long'],
    [null, 'username_not_string'],
    [undefined, 'username_not_string'],
    [42, 'username_not_string'],
    [['alice'], 'username_not_string'],
    [{ name: 'alice' }, 'username_not_string'],
    [true, 'username_not_string'],
  ])('rejects the username %j with %s', (name, reason) => {
    const claims = name === undefined ? {} : { preferred_username: name };
    expect(rejection(claims).reason).toBe(reason);
  });

  test('reports how long a name is and how long it may be', () => {
    expect(rejection({ preferred_username: 'a'.repeat(508) }).message).toContain('513 bytes long; at most 512');
    expect(map({ preferred_username: 'a'.repeat(507) })).toMatchObject({ ok: true });
  });

  test.each(['system:masters', 'system:admin', 'System:masters'])('rejects %s where the prefix is empty', (name) => {
    const open = { usernamePrefix: '', groupsPrefix: '' };
    expect(rejection({ preferred_username: name }, open).reason).toBe('username_reserved');
    expect(rejection({ ...ALICE, groups: ['a', name] }, open).reason).toBe('group_reserved');
  });

  test('rejects a prefix that makes a name reserved together with the claim', () => {
    expect(rejection({ preferred_username: 'em:masters' }, { usernamePrefix: 'syst' }).reason).toBe(
      'username_reserved',
    );
  });

  test.each([
    [null, 'groups_not_strings'],
    [7, 'groups_not_strings'],
    [{ a: 1 }, 'groups_not_strings'],
    [true, 'groups_not_strings'],
    [['a', 1], 'groups_not_strings'],
    [['a', null], 'groups_not_strings'],
    [[['a']], 'groups_not_strings'],
    [['a', ''], 'group_empty'],
    [[' a'], 'group_white_space'],
    [['a'.repeat(252)], 'group_too_long'],
  ])('rejects the groups %j with %s', (groups, reason) => {
    expect(rejection({ ...ALICE, groups }).reason).toBe(reason);
  });

  test('rejects more than 1000 groups with their number, and never truncates the list', () => {
    const groups = Array.from({ length: 1001 }, (_, index) => `g${index}`);
    expect(rejection({ ...ALICE, groups })).toMatchObject({ reason: 'groups_too_many' });
    expect(rejection({ ...ALICE, groups }).message).toContain('1001 groups');
    expect(map({ ...ALICE, groups: groups.slice(1) })).toMatchObject({ ok: true });
  });

  test.each([{ _claim_names: { groups: 'src1' } }, { hasgroups: true }])(
    'takes Entra’s overage marker %j for unknown groups',
    (marker) => {
      expect(rejection({ ...ALICE, ...marker }).reason).toBe('groups_overage');
    },
  );

  test.each([
    'claims.?groups.orValue([])',
    'has(claims.groups) ? claims.groups : []',
    'claims.?groups.orValue([]).filter(g, g.startsWith("k8s-"))',
    'cel.bind(all, claims, has(all.groups) ? all.groups : [])',
  ])('takes the marker for unknown groups where %s makes none of an absent claim', (groups) => {
    expect(map(ALICE, { groups })).toMatchObject({ ok: true, value: { groups: [] } });
    for (const marker of [{ _claim_names: { groups: 'src1' } }, { hasgroups: true }]) {
      expect(rejection({ ...ALICE, ...marker }, { groups }).reason).toBe('groups_overage');
    }
  });

  test('ignores the marker where the groups are there nevertheless, or come from another claim', () => {
    const marker = { _claim_names: { groups: 'src1' } };
    const groups = 'claims.?groups.orValue([])';
    expect(map({ ...ALICE, ...marker, groups: [] }, { groups })).toMatchObject({ ok: true });
    expect(
      rejection({ ...ALICE, ...marker, groups: null }, { groups: 'claims.groups == null ? [] : ["a"]' }).reason,
    ).toBe('groups_overage');
    expect(map({ ...ALICE, ...marker }, { groups: 'claims.?roles.orValue([])' })).toMatchObject({ ok: true });
    const both = 'claims.?groups.orValue(claims.roles)';
    expect(map({ ...ALICE, ...marker, roles: ['a'] }, { groups: both })).toMatchObject({
      value: { groups: ['corp:a'] },
    });
  });

  test.each([null, 'groups', { address: 'src1' }])('does not take %j for the marker', (names) => {
    expect(map({ ...ALICE, _claim_names: names })).toMatchObject({ ok: true, value: { groups: [] } });
  });

  test.each([
    ['an invisible character', 'corp/4711\u200b', 'subject_characters'],
    ['a line end', 'corp/47\n11', 'subject_characters'],
    ['white space at its edge', 'corp/ 4711', 'subject_white_space'],
    ['nothing in it', 'corp/', 'subject_empty'],
    ['more than an account may hold', `corp/${'4'.repeat(508)}`, 'subject_too_long'],
  ] as const)('rejects a subject with %s, also where the uid is another claim', (_what, account, reason) => {
    const mapping = compileMapping({ ...PROVIDER, uid: 'claims.oid' });
    const outcome = mapping.ok ? mapClaims(mapping.value, { ...ALICE, oid: 'o-1' }, account) : mapping;
    expect(outcome).toMatchObject({ ok: false, reason: { reason, place: 'subject' } });
  });

  test('rejects a uid that is missing or not text', () => {
    expect(rejection(ALICE, { uid: 'claims.oid' }).reason).toBe('uid_not_string');
    expect(rejection({ ...ALICE, oid: 7 }, { uid: 'claims.oid' }).reason).toBe('uid_not_string');
    expect(rejection(ALICE, { uid: 'claims.oid + "x"' })).toMatchObject({ reason: 'expression_error', place: 'uid' });
  });

  test('rejects extra values that are not text', () => {
    const changes = { extra: { 'example.com/team': 'claims.team' } };
    for (const team of [1, null, ['a', 1], {}]) {
      expect(rejection({ ...ALICE, team }, changes).reason).toBe('extra_not_strings');
    }
    expect(rejection({ ...ALICE, team: 'a\u202e' }, changes).reason).toBe('extra_characters');
    for (const team of [undefined, '', []]) {
      expect(map({ ...ALICE, team }, changes)).toHaveProperty('value.extra', {});
    }
  });

  test('never shows the name itself in the message', () => {
    expect(rejection({ preferred_username: 'evil\u202ename' }).message).not.toContain('evil');
  });
});

describe('e-mail addresses as names', () => {
  const byEmail = { username: 'claims.email' };
  test.each([false, 'false'])('rejects an address that the provider reports as not verified (%j)', (said) => {
    const { reason, message } = rejection({ email: 'alice@example.com', email_verified: said }, byEmail);
    expect(reason).toBe('email_unverified');
    expect(message).toMatch(/^corp says that your e-mail address is not verified\. Verify it there/);
  });

  test.each([undefined, null, 0, 1, '', 'True', 'true ', 'yes', {}, [true], ['true']])(
    'rejects an address of which the provider does not say whether it is verified, and sends no user there (%j)',
    (said) => {
      const claims = { email: 'alice@example.com', ...(said === undefined ? {} : { email_verified: said }) };
      const { reason, message } = rejection(claims, byEmail);
      expect(reason).toBe('email_verification_unknown');
      expect(message).toMatch(/does not say whether .* your platform team has to choose .* emailVerified: trusted/);
      expect(message).not.toContain('Verify it');
    },
  );

  test.each([true, 'true'])('accepts a verified address (%j)', (said) => {
    expect(map({ email: 'a@example.com', email_verified: said }, byEmail)).toMatchObject({
      value: { username: 'corp:a@example.com' },
    });
  });

  test('accepts an unverified address where the configuration trusts the provider', () => {
    const trusted = { ...byEmail, emailVerified: 'trusted' } as const;
    expect(map({ email: 'a@example.com' }, trusted)).toMatchObject({ ok: true });
  });

  test.each([
    'claims["email"]',
    'claims.?email.orValue("x")',
    'has(claims.email) ? claims.email : claims.sub',
    'claims.email.split("@")[0]',
    'claims["e" + "mail"]',
    'cel.bind(c, claims, string(c.email))',
    '[claims].map(c, string(c.email))[0]',
  ])('sees that %s can read the address', (username) => {
    expect(rejection({ email: 'a@b', sub: 's' }, { username }).reason).toBe('email_verification_unknown');
  });

  test.each(['claims.sub', 'claims.preferred_username', 'claims.profile.email'])(
    'does not ask for a verified address for %s',
    (username) => {
      expect(
        map({ email: 'a@b', sub: 's', preferred_username: 'p', profile: { email: 'x' } }, { username }),
      ).toMatchObject({ ok: true });
    },
  );

  test('lets a mapping fall back where there is no address at all', () => {
    expect(map({ sub: 's' }, { username: 'claims.?email.orValue(claims.sub)' })).toMatchObject({
      value: { username: 'corp:s' },
    });
    const orNull = { username: 'claims.email == null ? claims.sub : claims.email' };
    expect(map({ sub: 's', email: null }, orNull)).toMatchObject({ value: { username: 'corp:s' } });
  });
});

describe('rules', () => {
  const rules = (...expressions: string[]) => ({
    rules: expressions.map((expression, index) => ({ expression, message: `no ${index}` })),
  });

  test('rejects by the first rule that fails, with its message', () => {
    expect(rejection(ALICE, rules('true', '1 == 2', 'false'))).toEqual({
      reason: 'rule_refused',
      place: 'rules[1]',
      message: 'no 1',
    });
  });

  test.each([
    'claims.hd == "example.com"',
    'claims.preferred_username',
    'claims.preferred_username > 1',
    'claims.level',
    // The provider says nothing of it: that is no yes.
    'claims.is_employee',
    'claims.profile.is_employee',
    'claims.yes',
    'claims.nothing',
  ])('rejects the user where %s cannot be decided', (expression) => {
    const claims = { ...ALICE, level: 1, profile: {}, yes: 'true', nothing: null };
    expect(rejection(claims, rules(expression))).toMatchObject({ reason: 'rule_error', place: 'rules[0]' });
    expect(rejection(claims, rules('true', expression, 'true'))).toMatchObject({ place: 'rules[1]' });
  });

  test('reports why a rule cannot be decided', () => {
    expect(rejection(ALICE, rules('claims.is_employee')).fault).toBe('there is no such claim');
    expect(rejection(ALICE, rules('claims.preferred_username')).fault).toBe('neither true nor false');
    expect(rejection(ALICE, rules('claims.a == 1')).fault).toMatch(/No such key: a/);
  });

  test.each([
    ['claims.level == 1', { level: 1 }],
    ['claims.level + 1 == 2', { level: 1 }],
    ['claims.level in [1, 2]', { level: 1 }],
    ['claims.ratio > 0.5', { ratio: 0.75 }],
    ['claims.exp - claims.iat <= 3600', { iat: 1_700_000_000, exp: 1_700_003_600 }],
    ['"admins" in claims.groups', { groups: ['admins'] }],
    ['claims.a.b[0].c == "x"', { a: { b: [{ c: 'x' }] } }],
    ['claims.flag', { flag: true }],
    ['claims.nothing == null', { nothing: null }],
    ['claims.constructor == "x"', { constructor: 'x' }],
  ])('%s holds for %j', (expression, claims) => {
    expect(map({ ...ALICE, ...claims }, rules(expression))).toMatchObject({ ok: true });
  });

  test('does not read a whole number that JSON has already rounded', () => {
    const claims: Claims = JSON.parse('{"preferred_username":"alice","id":9007199254740993}');
    expect(rejection(claims, rules('claims.id == 9007199254740992')).reason).toBe('rule_error');
    expect(rejection(claims, { username: 'string(claims.id)' }).reason).toBe('expression_error');
    expect(map(claims)).toMatchObject({ ok: true });
  });

  test('survives claims of any depth', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 20_000; level += 1) deep = [deep];
    expect(map({ ...ALICE, deep })).toMatchObject({ ok: true });
  });

  test('judges the mapped user by userRules', () => {
    const userRules = [{ expression: '!user.username.startsWith("corp:svc-")', message: 'no robots' }];
    expect(rejection({ preferred_username: 'svc-a' }, { userRules })).toMatchObject({
      reason: 'rule_refused',
      place: 'userRules[0]',
    });
    expect(map(ALICE, { userRules })).toMatchObject({ ok: true });
  });
});

describe('compiling a mapping', () => {
  test('reports every error with its place', () => {
    const compiled = compileMapping({
      ...PROVIDER,
      username: 'claims.',
      groups: '1',
      uid: 'clams.sub',
      extra: {
        'Example.com/x': 'claims.x',
        'portcullis.dev/session': 'claims.y',
        'authentication.kubernetes.io/node-name': 'claims.z',
      },
      rules: [{ expression: 'claims.a ==', message: '' }],
      userRules: [{ expression: 'user.name == "x"', message: '' }],
    });
    expect(compiled.ok ? [] : compiled.reason.map(({ place }) => place).toSorted()).toEqual([
      'extra.Example.com/x',
      'extra.authentication.kubernetes.io/node-name',
      'extra.portcullis.dev/session',
      'groups',
      'rules[0].expression',
      'uid',
      'userRules[0].expression',
      'username',
    ]);
  });

  test('reports the library’s message and the column', () => {
    const compiled = compileMapping({ ...PROVIDER, username: 'clams.sub' });
    expect(compiled).toMatchObject({ ok: false, reason: [{ message: expect.stringMatching(/clams.*column 1/) }] });
  });
});

test('whatever the claims say, an accepted identity has only names that can be sent', () => {
  const json = fc.jsonValue({ maxDepth: 3 });
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.constantFrom('system:masters', ' a', 'a', ''),
    json,
  );
  const claims = fc.record({
    preferred_username: name,
    groups: fc.oneof(fc.array(name, { maxLength: 5 }), json),
    other: json,
  });
  fc.assert(
    fc.property(claims, fc.constantFrom('corp:', ''), (value, prefix) => {
      const outcome = map(value, { usernamePrefix: prefix, groupsPrefix: prefix });
      if (!outcome.ok) return;
      for (const text of [outcome.value.username, ...outcome.value.groups]) {
        expect(text.startsWith(prefix) && text.length > prefix.length && text.isWellFormed()).toBe(true);
        expect(text).toBe(text.trim());
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]|^system:/u);
      }
    }),
    { numRuns: 500 },
  );
});
