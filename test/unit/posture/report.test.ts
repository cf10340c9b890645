import { describe, expect, test } from 'vitest';
import { KIND_NAMES, type Kind } from '../../../src/posture/rules/kinds.ts';
import { report, verdictOf, type FailOn } from '../../../src/posture/rules/report.ts';
import { RULES, SEVERITIES } from '../../../src/posture/rules/rules.ts';
import { parseWaivers, waives, type Waiver } from '../../../src/posture/rules/waivers.ts';
import { account, binding, checksOf, CONTEXT, NOW, object, role, rule, user, type Cluster } from './objects.ts';

const INSTANCE = account('portcullis', 'portcullis');

const INVALID: Cluster = {
  namespaces: [object('', 'b'), object('', 'a')],
  clusterroles: [role('cluster-admin', [rule('*', '*', '*')]), role('none', [])],
  clusterrolebindings: [
    binding({ role: 'cluster-admin' }, account('z', 'ci')),
    binding({ role: 'reader' }, user('jane')),
    binding({ role: 'none' }, INSTANCE),
  ],
  pods: [object('a', 'web', { spec: {} })],
};

function judged(cluster: Cluster, unreadable: Partial<Record<Kind, string>> = {}, waivers: readonly Waiver[] = []) {
  const missing = new Map(Object.entries(unreadable) as [Kind, string][]);
  return report({ checks: checksOf(cluster), unreadable: missing, waivers, context: CONTEXT, now: NOW });
}

const waiver = (facts: Partial<Waiver> = {}): Waiver => ({
  rule: 'account-admin',
  object: 'z/ServiceAccount/ci',
  reason: 'INC-1',
  until: '2026-12-31',
  ...facts,
});

describe('a report', () => {
  test('is sorted by severity, then by namespace', () => {
    expect(judged(INVALID).findings.map(({ rule: id, namespace }) => `${id} ${namespace}`)).toEqual([
      'account-admin z',
      'user-bypasses-proxy ',
      'no-default-deny a',
      'no-default-deny b',
      'token-mounted a',
    ]);
  });

  test.each<[Kind, string, string]>([
    ['networkpolicies', 'no-default-deny', 'every namespace would seem to have none'],
    ['rolebindings', 'token-mounted', 'every account would seem to have no right'],
    ['clusterroles', 'anonymous-access', 'every role would seem to be too much'],
    ['clusterroles', 'proxy-account', 'every role would seem to be more than it needs'],
  ])('says nothing of a rule that a part would mislead: %s', (kind, id) => {
    const anonymous = binding({ role: 'system:public-info-viewer' }, user('system:anonymous'));
    const given = { ...INVALID, rolebindings: [anonymous, binding({ role: 'portcullis' }, INSTANCE)] };
    const { findings, unjudged } = judged(given, { [kind]: '403 Forbidden' });
    expect(findings.filter((one) => one.rule === id)).toEqual([]);
    expect(unjudged.find((one) => one.rule === id)).toMatchObject({
      state: 'not_readable',
      why: `${kind} (403 Forbidden)`,
    });
  });

  test('still tells what is certain of a rule that is not wholly judged', () => {
    const { findings, unjudged } = judged(INVALID, { roles: '403 Forbidden' });
    expect(findings.map((one) => one.rule)).toContain('account-admin');
    expect(unjudged.map((one) => one.rule)).toContain('account-admin');
  });
});

describe('the verdict', () => {
  // The account of Portcullis is there to be judged.
  const kept: Cluster = {
    clusterroles: [role('none', [])],
    clusterrolebindings: [binding({ role: 'none' }, INSTANCE)],
  };
  const medium = judged({ ...kept, namespaces: [object('', 'a')] });
  const clean = judged(kept);
  const blind = judged(kept, { secrets: '403 Forbidden' });
  const halfBlind = judged(kept, { pods: '403 Forbidden' });
  const missingOptions = judged({});
  const borne = judged({}, {}, [waiver({ rule: 'proxy-account', object: '*' })]);

  test.each<[string, typeof medium, FailOn, ReturnType<typeof verdictOf>]>([
    ['a medium finding', medium, 'high', 'passed'],
    ['a medium finding', medium, 'medium', 'failed'],
    ['a medium finding', medium, 'low', 'failed'],
    ['a medium finding', medium, 'none', 'passed'],
    ['nothing', clean, 'low', 'passed'],
    ['a high rule that may not be judged', blind, 'high', 'refused'],
    ['a high rule that may not be judged', blind, 'none', 'passed'],
    ['medium rules that may not be judged', halfBlind, 'high', 'passed'],
    ['medium rules that may not be judged', halfBlind, 'medium', 'refused'],
    ['a high rule for which an option is missing', missingOptions, 'high', 'incomplete'],
    ['a high rule for which an option is missing', missingOptions, 'none', 'passed'],
    ['a high rule for which an option is missing, and that is waived', borne, 'high', 'passed'],
  ])('of %s', (_, given, failOn, expected) => {
    expect(verdictOf(given, failOn)).toBe(expected);
  });

  test('of what the cluster shows to no one is no rejection', () => {
    expect(clean.unjudged.map(({ rule: id, state }) => `${id} ${state}`)).toContain('api-server-audit not_visible');
  });
});

describe('a waiver', () => {
  test('takes its finding out of the verdict, through its last day, and is told beside it', () => {
    const held = judged(INVALID, {}, [waiver({ until: '2026-11-25' })]);
    expect(held.waived).toMatchObject([{ rule: 'account-admin', reason: 'INC-1', until: '2026-11-25' }]);
    expect(verdictOf(held, 'high')).toBe('passed');
  });

  test('whose day has passed holds nothing, and is a finding', () => {
    const { findings, waived } = judged(INVALID, {}, [waiver({ until: '2026-11-24' })]);
    expect(waived).toEqual([]);
    expect(findings.map((one) => one.rule)).toEqual(expect.arrayContaining(['account-admin', 'waiver-expired']));
  });

  test('of a rule that was not judged is not called one that nothing needs', () => {
    const waivers = [
      waiver({ rule: 'legacy-token' }),
      waiver({ rule: 'api-server-audit' }),
      waiver({ rule: 'proxy-account' }),
    ];
    expect(judged({}, { secrets: '403 Forbidden' }, waivers).unused).toEqual([]);
  });

  test('of a rule for which an option is missing is told beside it', () => {
    const { unjudged, unused } = judged({}, {}, [waiver({ rule: 'proxy-account', object: '*' })]);
    expect(unjudged.find((one) => one.rule === 'proxy-account')).toMatchObject({
      state: 'needs_option',
      waiver: { reason: 'INC-1' },
    });
    expect(unused).toEqual([]);
  });

  test('that nothing needs is named', () => {
    expect(judged(INVALID, {}, [waiver({ object: 'z/ServiceAccount/other' })]).unused).toHaveLength(1);
  });

  test.each([
    ['z/ServiceAccount/ci', true],
    ['z/*', true],
    ['*', true],
    ['*/ci', true],
    ['z/ServiceAccount/c', false],
    ['z/ServiceAccount/c.', false],
    ['Z/ServiceAccount/ci', false],
    ['ServiceAccount/ci', false],
    ['z/*/ci/*', false],
    ['z/*ci*ci', false],
    ['*S*A*c*', true],
  ])('of the objects that its pattern names: %s', (pattern, expected) => {
    const [finding] = judged(INVALID).findings;
    if (finding === undefined) throw new Error('nothing was found');
    expect(waives(waiver({ object: pattern }), finding)).toBe(expected);
    expect(waives(waiver({ object: pattern, rule: 'legacy-token' }), finding)).toBe(false);
  });

  test.each<[unknown, string]>([
    [undefined, 'the file must hold `waivers:`'],
    [{ waivers: {} }, 'the file must hold `waivers:`'],
    [{ waivers: [], more: 1 }, 'and nothing else'],
    [{ waivers: ['x'] }, 'waivers[0]: must have rule, object, reason, until'],
    [{ waivers: [waiver({ reason: ' ' })] }, 'waivers[0]: reason must be there'],
    [{ waivers: [{ ...waiver(), rule: 'nonsense' }] }, 'there is no rule nonsense'],
    [{ waivers: [waiver({ rule: 'waiver-expired' })] }, 'cannot be waived'],
    [{ waivers: [waiver({ until: '2026-02-30' })] }, 'until must be a day'],
    [{ waivers: [waiver({ until: 'soon' })] }, 'until must be a day'],
    [{ waivers: [{ ...waiver(), note: 'x' }] }, 'note is not known'],
  ])('must say rule, object, reason and day: %j', (document, cliError) => {
    const parsed = parseWaivers(document);
    expect('errors' in parsed && parsed.errors.join('\n')).toContain(cliError);
  });

  test('that says all of it is taken, and no waivers are as good', () => {
    expect(parseWaivers({ waivers: [waiver()] })).toEqual({ waivers: [waiver()] });
    expect(parseWaivers({ waivers: [] })).toEqual({ waivers: [] });
  });
});

describe('the catalogue', () => {
  test('is sorted by severity, then by name, and reads nothing that is not read', () => {
    const order = RULES.map(({ id, severity }) => `${SEVERITIES.indexOf(severity)} ${id}`);
    expect(order).toEqual(order.toSorted());
    for (const { reads } of RULES) for (const kind of reads) expect(KIND_NAMES).toContain(kind);
  });

  test('has a use for each kind that is read', () => {
    expect(new Set(RULES.flatMap(({ reads }) => [...reads]))).toEqual(new Set(KIND_NAMES));
  });
});
