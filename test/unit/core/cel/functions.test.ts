import { describe, expect, test } from 'vitest';
import { celValue, compileExpression } from '../../../../src/core/cel/expressions.ts';

/** Steps. */
const ENOUGH = 1_000_000;

const CLAIMS = celValue({
  name: 'TacoCÆt Xii',
  kelvin: '\u212Aate@example.com',
  face: '😀ab',
  groups: ['team-a', 'team-b', 'x'],
  levels: [3, 1, 2],
  mixed: ['a', 1],
  objects: [{ a: 1 }, { a: 2 }],
  none: [],
});

/** Returns the value of an expression over claims; fails the test if there is none. */
function value(source: string): unknown {
  // A mapping can use a string, a bool or a list of strings.
  for (const produces of ['string', 'bool', 'strings'] as const) {
    const compiled = compileExpression('claims', source, produces);
    if (!compiled.ok) continue;
    const outcome = compiled.value.evaluate(CLAIMS, { left: ENOUGH });
    if (outcome.kind !== 'value') throw new Error(JSON.stringify(outcome));
    return outcome.value;
  }
  throw new Error(`${source} does not compile`);
}

function errorOf(source: string): string {
  const compiled = compileExpression('claims', source, 'string');
  if (!compiled.ok) return compiled.reason;
  const outcome = compiled.value.evaluate(CLAIMS, { left: ENOUGH });
  return outcome.kind === 'error' ? outcome.message : `no error: ${JSON.stringify(outcome)}`;
}

/** @see https://github.com/google/cel-go/blob/master/ext/README.md#strings */
describe('strings, as cel-go documents them', () => {
  test.each([
    [`'hello'.charAt(4)`, 'o'],
    [`'hello'.charAt(5)`, ''],
    [`string('hello mellow'.indexOf(''))`, '0'],
    [`string('hello mellow'.indexOf('ello'))`, '1'],
    [`string('hello mellow'.indexOf('jello'))`, '-1'],
    [`string('hello mellow'.indexOf('', 2))`, '2'],
    [`string('hello mellow'.indexOf('ello', 2))`, '7'],
    [`['hello', 'mellow'].join()`, 'hellomellow'],
    [`['hello', 'mellow'].join(' ')`, 'hello mellow'],
    [`[].join()`, ''],
    [`[].join('/')`, ''],
    [`string('hello mellow'.lastIndexOf(''))`, '12'],
    [`string('hello mellow'.lastIndexOf('ello'))`, '7'],
    [`string('hello mellow'.lastIndexOf('jello'))`, '-1'],
    [`string('hello mellow'.lastIndexOf('ello', 6))`, '1'],
    [`'TacoCat'.lowerAscii()`, 'tacocat'],
    [`'TacoCÆt Xii'.lowerAscii()`, 'tacocÆt xii'],
    [`'TacoCat'.upperAscii()`, 'TACOCAT'],
    [`'TacoCÆt Xii'.upperAscii()`, 'TACOCÆT XII'],
    [`'hello hello'.replace('he', 'we')`, 'wello wello'],
    [`'hello hello'.replace('he', 'we', -1)`, 'wello wello'],
    [`'hello hello'.replace('he', 'we', 1)`, 'wello hello'],
    [`'hello hello'.replace('he', 'we', 0)`, 'hello hello'],
    [`'hello hello hello'.split(' ')`, ['hello', 'hello', 'hello']],
    [`'hello hello hello'.split(' ', 0)`, []],
    [`'hello hello hello'.split(' ', 1)`, ['hello hello hello']],
    [`'hello hello hello'.split(' ', 2)`, ['hello', 'hello hello']],
    [`'hello hello hello'.split(' ', -1)`, ['hello', 'hello', 'hello']],
    [`'tacocat'.substring(4)`, 'cat'],
    [`'tacocat'.substring(0, 4)`, 'taco'],
    [`'  \\ttrim\\n    '.trim()`, 'trim'],
    [`'\u0085\u2003\u3000trim \u00a0 me\u2028'.trim()`, 'trim \u00a0 me'],
    // Not among Unicode’s White_Space.
    [`'\ufefftrim\u200b'.trim()`, '\ufefftrim\u200b'],
    [`' \u0085 '.trim()`, ''],
    [`''.trim()`, ''],
    [`'%s of %s: %d%%'.format(['a', true, 3])`, 'a of true: 3%'],
  ])('%s is %j', (source, expected) => {
    expect(value(source)).toEqual(expected);
  });

  test.each([
    [`'hello'.charAt(-1)`, /outside/],
    [`string('hello mellow'.indexOf('ello', 20))`, /outside/],
    [`string('hello mellow'.lastIndexOf('ello', -1))`, /outside/],
    [`'tacocat'.substring(-1)`, /outside/],
    [`'tacocat'.substring(2, 1)`, /before/],
    [`'%s %s'.format(['a'])`, /more verbs/],
    [`'%d'.format(['a'])`, /format knows/],
    [`'%x'.format([1])`, /format knows/],
    [`'%s'.format([claims.objects])`, /format knows/],
    [`'${'a'.repeat(400)}'.replace('a', '${'b'.repeat(400)}')`, /is not made/],
    // No message shows the prefix of our functions.
    [`claims.groups.lowerAscii()`, /'list<?.*>?\.lowerAscii\(\)'/],
    [`claims.name.lowerAscii(1)`, /lowerAscii\(int\)/],
  ])('%s is an error', (source, message) => {
    expect(errorOf(source)).toMatch(message);
    expect(errorOf(source)).not.toContain('portcullis');
  });

  test('blanks within a name take only linear time', () => {
    const name = `a${' '.repeat(200_000)}b`;
    const trimmed = compileExpression('claims', 'claims.name.trim()', 'string');
    // With a search from each blank, they would take half a minute.
    expect(trimmed.ok && trimmed.value.evaluate(celValue({ name }), { left: ENOUGH })).toEqual({
      kind: 'value',
      value: name,
    });
  });

  test('no two users share a name by letters that only look alike', () => {
    expect(value('claims.kelvin.lowerAscii()')).toBe('\u212Aate@example.com');
  });

  test('positions count characters, not halves of them', () => {
    expect(value('claims.face.substring(1)')).toBe('ab');
    expect(value('claims.face.charAt(0)')).toBe('😀');
    expect(value('claims.face.split("").join("-")')).toBe('😀-a-b');
    expect(value('string(claims.face.indexOf("b"))')).toBe('2');
    expect(value('string(claims.face.size())')).toBe('3');
  });

  test.each([
    'claims.groups.map(g, claims.name.lowerAscii())[0]',
    'claims.groups.filter(g, g.upperAscii() == "X").map(g, claims.name.lowerAscii())[0]',
    'cel.bind(n, claims.name, n.lowerAscii())',
    'has(claims.name) ? claims.name.lowerAscii() : ""',
    'claims.?missing.orValue(claims.name.lowerAscii())',
    'claims.?name.orValue("").lowerAscii()',
    '[claims.name.lowerAscii()][0]',
    'claims.?missing.or(optional.of(claims.name.lowerAscii())).value()',
    'claims.groups.all(g, claims.name.lowerAscii() == "tacocÆt xii") ? "tacocÆt xii" : ""',
    '[1].exists_one(n, claims.name.lowerAscii() == "tacocÆt xii") ? "tacocÆt xii" : ""',
    'claims.groups.map(g, g == "x", claims.name.lowerAscii())[0]',
    '{"a": claims.name.lowerAscii()}["a"]',
    'claims.groups.exists(g, claims.name.lowerAscii() == "tacocÆt xii") ? claims.name.lowerAscii() : ""',
  ])('%s calls ours, wherever the call stands', (source) => {
    expect(value(source)).toBe('tacocÆt xii');
  });
});

/** @see https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-regex-library */
describe('searches, as Kubernetes documents them', () => {
  test.each([
    [`'abc 123'.find('[0-9]+')`, '123'],
    [`'abc 123'.find('xyz')`, ''],
    [`'123 abc 456'.findAll('[0-9]+')`, ['123', '456']],
    [`'123 abc 456'.findAll('[0-9]+', 1)`, ['123']],
    [`'123 abc 456'.findAll('xyz')`, []],
    [`'1, 2, 3, 4'.findAll('[0-9]+').map(x, int(x)).sum() < 100`, true],
    [`claims.groups.filter(g, g.matches('^team-'))`, ['team-a', 'team-b']],
    [`matches(claims.name, '^Taco')`, true],
  ])('%s is %j', (source, expected) => {
    expect(value(source)).toEqual(expected);
  });

  test.each([
    `claims.name.matches('(a')`,
    `claims.name.find('a(?=b)')`,
    `claims.groups.filter(g, g.matches('(a'))[0]`,
    `matches(claims.name, '(a') ? 'a' : 'b'`,
    `claims.name.find('(a{1000}){1000}')`,
  ])('an invalid literal pattern is found when the configuration is read: %s', (source) => {
    expect(compileExpression('claims', source, 'string')).toMatchObject({ ok: false });
    expect(compileExpression('user', source.replaceAll('claims', 'user'), 'string')).toMatchObject({ ok: false });
  });

  test('an invalid pattern that is built from claims is an error of the evaluation', () => {
    expect(errorOf(`claims.name.find('(' + claims.name)`)).toMatch(/missing closing \)/);
  });
});

/** @see https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library */
describe('lists, as Kubernetes documents them', () => {
  test.each([
    ['[1, 2, 3].isSorted()', true],
    [`['a', 'b', 'b', 'c'].isSorted()`, true],
    ['[2.0, 1.0].isSorted()', false],
    ['[1].isSorted()', true],
    ['[].isSorted()', true],
    ['[1, 3].sum() == 4', true],
    ['[1.5, 2.5].sum() == 4.0', true],
    ['[].sum() == 0', true],
    ['[1, 3].min() == 1', true],
    ['[1, 3].max() == 3', true],
    ['claims.levels.max() == 3', true],
    ['([0] + claims.none).min() == 0', true],
    ['[1, 2, 2, 3].indexOf(2) == 1', true],
    [`['a', 'b', 'b', 'c'].lastIndexOf('b') == 2`, true],
    ['[1.0].indexOf(1.1) == -1', true],
    [`[].indexOf('string') == -1`, true],
    [`claims.groups.indexOf('x') == 2`, true],
    [`claims.groups.max()`, 'x'],
  ])('%s is %j', (source, expected) => {
    expect(value(source)).toEqual(expected);
  });

  test.each([
    ['string(claims.none.min())', /empty list/],
    ['string(claims.mixed.min())', /several types/],
    ['string(claims.mixed.sum())', /one type/],
    ['string(claims.objects.max())', /only texts|no order/],
    ['string([9223372036854775807, 1].sum())', /overflow/],
  ])('%s is an error', (source, message) => {
    expect(errorOf(source)).toMatch(message);
  });
});

/** @see https://github.com/google/cel-go/blob/master/ext/README.md#sets */
describe('sets, as cel-go documents them', () => {
  test.each([
    ['sets.contains([], [])', true],
    ['sets.contains([], [1])', false],
    ['sets.contains([1, 2, 3, 4], [2, 3])', true],
    ['sets.contains([1, 2.0, 3], [1.0, 2, 3])', true],
    ['sets.equivalent([], [])', true],
    ['sets.equivalent([1], [1, 1])', true],
    ['sets.equivalent([1], [1, 1.0])', true],
    ['sets.equivalent([1, 2, 3], [3, 2.0])', false],
    ['sets.intersects([1], [])', false],
    ['sets.intersects([1], [1, 2])', true],
    [`sets.intersects(claims.groups, ['x', 'y'])`, true],
    [`sets.contains(claims.groups, ['x', 'y'])`, false],
    [`sets.intersects(['1', 'true'], [1, true])`, false],
  ])('%s is %s', (source, expected) => {
    expect(value(source)).toBe(expected);
  });

  test('do not take a list for each item of the other', () => {
    const many = celValue({
      a: Array.from({ length: 100_000 }, (_, i) => `a${i}`),
      b: Array.from({ length: 100_000 }, (_, i) => `b${i}`),
    });
    const compiled = compileExpression('claims', 'sets.intersects(claims.a, claims.b)', 'bool');
    // Ten thousand million comparisons would not end in a reasonable time.
    expect(compiled.ok && compiled.value.evaluate(many, { left: ENOUGH })).toEqual({ kind: 'value', value: false });
  });

  test('a rule may use them over the mapped user', () => {
    const compiled = compileExpression('user', 'sets.intersects(user.groups, ["a", "b"])', 'bool');
    expect(
      compiled.ok &&
        compiled.value.evaluate({ username: 'u', uid: '1', groups: ['b'], extra: new Map() }, { left: ENOUGH }),
    ).toEqual({
      kind: 'value',
      value: true,
    });
  });
});
