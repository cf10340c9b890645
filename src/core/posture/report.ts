/** From what the checks found to what is told: sorted, waived, with what could not be judged beside it. */
import type { Check, Finding } from './check.ts';
import type { Kind } from './kinds.ts';
import { pageOf, RULES, ruleOf, SEVERITIES, type Rule, type RuleId, type Severity } from './rules.ts';
import { expiredFinding, isExpired, waives, type Waiver } from './waivers.ts';

export interface Reported extends Finding {
  readonly severity: Severity;
  readonly title: string;
  /** Below docs/. */
  readonly page: string;
}

export interface Waived extends Reported {
  readonly reason: string;
  readonly until: string;
}

/** A rule that could not be judged, or not wholly. */
export interface Unjudged {
  readonly rule: RuleId;
  readonly severity: Severity;
  /** `not_readable`: the caller may not read what it needs. `not_visible`: this cluster does not show it to anybody. */
  readonly state: 'not_readable' | 'not_visible';
  readonly why: string;
}

export interface Report {
  /** The worst first, then by namespace and object. */
  readonly findings: readonly Reported[];
  readonly waived: readonly Waived[];
  readonly unjudged: readonly Unjudged[];
  /** Waivers that nothing was found for, and that can be taken out. */
  readonly unused: readonly Waiver[];
}

export interface Seen {
  readonly checks: readonly Check[];
  /** Why each kind that could not be read could not. */
  readonly unreadable: ReadonlyMap<Kind, string>;
  readonly waivers: readonly Waiver[];
  /** Epoch milliseconds. */
  readonly now: number;
}

export function report({ checks, unreadable, waivers, now }: Seen): Report {
  const outcomes = checks.map((check) => check.outcome());
  const unjudged = RULES.flatMap((rule) =>
    unjudgedOf(
      rule,
      unreadable,
      outcomes.map(({ notVisible }) => notVisible?.[rule.id]),
    ),
  );
  // With a part alone such a rule would accuse where nothing is wrong.
  const silent = new Set(
    RULES.filter((rule) => rule.whole && rule.reads.some((kind) => unreadable.has(kind))).map(({ id }) => id),
  );
  const held = waivers.filter((waiver) => !isExpired(waiver, now));
  const found = [
    ...outcomes.flatMap(({ findings }) => findings).filter(({ rule }) => !silent.has(rule)),
    ...waivers.filter((waiver) => isExpired(waiver, now)).map(expiredFinding),
  ];
  const findings: Reported[] = [];
  const waived: Waived[] = [];
  const used = new Set<Waiver>();
  for (const finding of found) {
    const waiver = held.find((one) => waives(one, finding));
    if (waiver === undefined) findings.push(reported(finding));
    else {
      used.add(waiver);
      waived.push({ ...reported(finding), reason: waiver.reason, until: waiver.until });
    }
  }
  return {
    findings: findings.toSorted(inOrder),
    waived: waived.toSorted(inOrder),
    unjudged,
    unused: held.filter((waiver) => !used.has(waiver)),
  };
}

function unjudgedOf(
  { id, severity, reads }: Rule & { readonly id: RuleId },
  unreadable: ReadonlyMap<Kind, string>,
  hidden: readonly (string | undefined)[],
): readonly Unjudged[] {
  const missing = reads.filter((kind) => unreadable.has(kind));
  if (missing.length > 0) {
    const why = missing.map((kind) => `${kind} (${unreadable.get(kind)})`).join(', ');
    return [{ rule: id, severity, state: 'not_readable', why }];
  }
  const why = hidden.find((one) => one !== undefined);
  return why === undefined ? [] : [{ rule: id, severity, state: 'not_visible', why }];
}

function reported(finding: Finding): Reported {
  const { severity, title } = ruleOf(finding.rule);
  return { severity, title, ...finding, page: pageOf(finding.rule) };
}

function inOrder(a: Reported, b: Reported): number {
  const bySeverity = SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity);
  return bySeverity || compare(a.namespace, b.namespace) || compare(a.rule, b.rule) || compare(a.object, b.object);
}

/** By code units: the same on every machine. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export type FailOn = Severity | 'none';

/**
 * `failed`: something as bad as `failOn`, or worse, was found. `refused`: nothing was, but a rule of that weight could not be judged
 * because the caller may not read what it needs, and that must not pass for fine.
 */
export function verdictOf({ findings, unjudged }: Report, failOn: FailOn): 'passed' | 'failed' | 'refused' {
  if (failOn === 'none') return 'passed';
  const counts = SEVERITIES.slice(0, SEVERITIES.indexOf(failOn) + 1);
  if (findings.some(({ severity }) => counts.includes(severity))) return 'failed';
  const refused = unjudged.some(({ severity, state }) => state === 'not_readable' && counts.includes(severity));
  return refused ? 'refused' : 'passed';
}
