/** Tests what an evaluation may cost, for any claims. */
import { Environment } from '@marcbachmann/cel-js';
import { describe, expect, test } from 'vitest';
import { Meter } from '../../../../src/core/cel/cost.ts';
import { compileAllow, mayUse } from '../../../../src/core/identity/cluster-access.ts';
import { celValue, compileExpression, type Evaluation } from '../../../../src/core/cel/expressions.ts';

/** Steps of a whole sign-in, and fewer, so that a test is over sooner. */
const [MOST, FEW] = [1_000_000, 200_000];

function evaluate(
  source: string,
  claims: unknown,
  left: number,
): { readonly outcome: Evaluation; readonly cpuMs: number } {
  const compiled = compileExpression('claims', source, 'bool');
  if (!compiled.ok) throw new Error(`${source}: ${compiled.reason}`);
  const subject = celValue(claims);
  const since = process.cpuUsage();
  const outcome = compiled.value.evaluate(subject, { left });
  return { outcome, cpuMs: process.cpuUsage(since).user / 1000 };
}

const groups = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `k8s-team-${index}`);
const CLAIMS = {
  groups: groups(4000),
  objects: groups(40_000).map((name) => ({ name })),
  long: 'a'.repeat(300_000),
  middle: `${'a'.repeat(70_000)}b${'a'.repeat(70_000)}`,
  end: `${'a'.repeat(140_000)}b`,
  mixed: ['a'.repeat(300_000), ...groups(4000)],
};

describe('an expression over many groups or long texts', () => {
  test.each([
    'claims.groups.exists(g, claims.groups.exists(h, g == h + "x"))',
    'claims.groups.all(g, claims.groups.all(h, g != h + "x"))',
    'claims.groups.exists_one(g, claims.groups.exists_one(h, g == h + "x"))',
    'claims.groups.filter(g, claims.groups.filter(h, g == h + "x") == []) == []',
    'claims.groups.map(g, claims.groups.map(h, g + h)) == []',
    'claims.groups.map(g, g != "", claims.groups.map(h, g == h, h)) == []',
    'claims.groups.exists(g, g + "x" in claims.groups)',
    'claims.groups.exists(g, claims.groups + [g] == [])',
    'claims.groups.map(g, claims.groups + claims.groups).size() == 3',
    'claims.groups.exists(g, cel.bind(all, claims.groups + [g], all.size() < 1))',
    'claims.groups.exists(g, claims.groups.max() == g + "x")',
    'claims.groups.exists(g, sets.intersects(claims.groups, [g + "x"]))',
    'claims.groups.exists(g, claims.groups.indexOf(g + "x") > 0)',
    'claims.groups.exists(g, claims.groups.join(",").size() == 3)',
    'claims.groups.exists(g, g.matches("^(x|k8s|team|-|[0-9])*y$") || claims.groups.exists(h, h == g + "x"))',
    'claims.objects.exists(o, o.missing == 1)',
    'claims.groups.exists(g, timestamp(0).getHours("Europe/Berlin") > 30)',
    'claims.long.contains(claims.middle)',
    'claims.long.lastIndexOf(claims.end) > 0',
    'claims.long.split(claims.middle).size() == 3',
    'claims.groups.join(claims.long) == ""',
    // An error of a part that is too costly is never ignored.
    'claims.groups.exists(g, claims.groups.exists(h, g == h + "x")) || true',
    'true || claims.groups.all(g, claims.groups.all(h, g != h + "x")) ? claims.groups.all(g, claims.groups.all(h, g != h + "x")) : true',
  ])('has no value where it would take too long: %s', (source) => {
    const { outcome, cpuMs } = evaluate(source, CLAIMS, FEW);
    expect(outcome).toMatchObject({ kind: 'error', tooCostly: true });
    // Without a limit many of them take minutes; with this one, some hundredths of a second.
    expect(cpuMs).toBeLessThan(1000);
  });

  test.each([
    'claims.groups.filter(g, g.startsWith("k8s-")).map(g, g.substring(4)).size() == 10000',
    'claims.groups.filter(g, g.matches("^k8s-team-[0-9]+$")).size() == 10000',
    'claims.groups.map(g, g.replace("k8s-", "").lowerAscii()).size() == 10000',
    'sets.intersects(claims.groups, ["k8s-team-9999", "ops"])',
    '"k8s-team-9999" in claims.groups',
    'claims.groups.exists(g, g.endsWith("-9999"))',
    'claims.groups.max() == "k8s-team-9999"',
    'claims.text.contains("needle")',
  ])('has one where it goes through ten thousand of them: %s', (source) => {
    const text = `${'hay '.repeat(40_000)}needle`;
    expect(evaluate(source, { groups: groups(10_000), text }, MOST).outcome).toEqual({ kind: 'value', value: true });
  });
});

test('the expressions of one sign-in share a budget', () => {
  const compiled = compileExpression('claims', 'claims.groups.exists(g, g == "x")', 'bool');
  if (!compiled.ok) throw new Error(compiled.reason);
  const budget = { left: 10_000 };
  const subject = celValue({ groups: groups(500) });
  const outcomes = Array.from({ length: 10 }, () => compiled.value.evaluate(subject, budget).kind);
  expect(outcomes[0]).toBe('value');
  expect(outcomes.at(-1)).toBe('error');
});

test('no user may use a cluster whose rule would take too long, and the caller is notified', () => {
  const allow = compileAllow('user.groups.exists(g, user.groups.exists(h, g == h + "x")) || true');
  if (!allow.ok) throw new Error(allow.reason);
  const notified: string[] = [];
  const user = (count: number) => ({ username: 'u', uid: '1', groups: groups(count), extra: {} });
  expect(mayUse(allow.value, user(1000), () => notified.push('too costly'))).toBe(false);
  expect(notified).toEqual(['too costly']);
  expect(mayUse(allow.value, user(10), () => notified.push('too costly'))).toBe(true);
  expect(notified).toHaveLength(1);
});

test('nothing starts if the library would evaluate without a limit', () => {
  const environment = new Environment();
  const evaluator: { run?: unknown } = {};
  const other = Object.assign(Object.create(environment) as Environment, {
    registerFunction: (_signature: string, macro: () => { evaluate(given: unknown): unknown }) => {
      // Like a version that does not evaluate by what it passes to macros.
      evaluator.run = () => true;
      macro().evaluate(evaluator);
    },
    evaluate: () => true,
    parse: (source: string) => environment.parse(source),
  });
  expect(() => new Meter().watch(other)).toThrow('without a limit');
});

test.each(['portcullis_evaluator(true)', 'claims.name.portcullis_trim() == ""'])('%s is no function', (source) => {
  expect(compileExpression('claims', source, 'bool')).toMatchObject({ ok: false });
});

describe('a search by a pattern', () => {
  const left = (source: string, claims: unknown): number => {
    const compiled = compileExpression('claims', source, 'bool');
    if (!compiled.ok) throw new Error(compiled.reason);
    const budget = { left: MOST };
    compiled.value.evaluate(celValue(claims), budget);
    return budget.left;
  };

  test('costs steps in proportion to the text and to the pattern', () => {
    const cost = (pattern: string, length: number): number =>
      MOST - left(`claims.name.matches("${pattern}")`, { name: 'a'.repeat(length) });
    expect(cost('^[a-z]+$', 8000) / cost('^[a-z]+$', 1000)).toBeGreaterThan(7);
    expect(cost('^[a-z]{1,200}$', 1000) / cost('^[a-z]{1,20}$', 1000)).toBeGreaterThan(7);
  });

  test('costs nothing for a pattern that is written out, and steps for one that is built from claims', () => {
    const written = MOST - left('claims.name.matches("^alice$")', { name: 'alice' });
    const built = MOST - left('claims.name.matches("^" + claims.name + "$")', { name: 'robert' });
    expect(written).toBeLessThan(20);
    expect(built).toBeGreaterThan(200);
  });

  test.each([
    // Ten thousand patterns, none of them costly.
    'claims.groups.exists(g, "x".matches("^" + g + "$"))',
    // One pattern, which would take a second to compile.
    'claims.groups.exists(g, "x".matches("(?:" + claims.groups.join("") + "){1000}"))',
    'claims.groups.exists(g, claims.groups[0].find("[0-9]{1,40}$") != "" && g.findAll("(?:[a-z0-9]+-?){100}").size() > 9)',
  ])('has no value where it would take too long: %s', (source) => {
    const { outcome, cpuMs } = evaluate(source, { groups: groups(400) }, FEW);
    expect(outcome).toMatchObject({ kind: 'error', tooCostly: true });
    expect(cpuMs).toBeLessThan(500);
  });
});
