/** From the findings of the checks to the report: sorted, waived, with the rules that could not be evaluated. */
import type { Check, Finding, Outcome } from './check.ts';
import type { Kind } from './kinds.ts';
import { shellLine } from './kubectl.ts';
import { pageOf, RULES, ruleOf, SEVERITIES, type Rule, type RuleId, type Severity } from './rules.ts';
import { expiredFinding, isExpired, waives, type Waiver } from './waivers.ts';

export interface Reported extends Omit<Finding, 'fix'> {
  /** Lines for a shell: commands with quoted arguments, and comments that begin with `#`. */
  readonly mend: readonly string[];
  readonly severity: Severity;
  readonly title: string;
  /** Below docs/. */
  readonly page: string;
}

export interface Waived extends Reported {
  readonly reason: string;
  readonly until: string;
}

/**
 * `not_readable`: the caller may not read what the rule needs. `needs_option`: an option is missing. `not_visible`:
 * this cluster does not show it to anyone.
 */
export type UnjudgedState = 'not_readable' | 'needs_option' | 'not_visible';

/** A rule that could not be evaluated, or only in part. */
export interface Unjudged {
  readonly rule: RuleId;
  readonly severity: Severity;
  readonly state: UnjudgedState;
  readonly why: string;
  /** The missing option is waived. */
  readonly waiver?: Waiver;
}

export interface Report {
  /** The most severe first, then by namespace and object. */
  readonly findings: readonly Reported[];
  readonly waived: readonly Waived[];
  readonly unjudged: readonly Unjudged[];
  /** Waivers without a finding, which can be removed. */
  readonly unused: readonly Waiver[];
}

export interface Seen {
  readonly checks: readonly Check[];
  /** Why each kind could not be read. */
  readonly unreadable: ReadonlyMap<Kind, string>;
  readonly waivers: readonly Waiver[];
  /** Of a kubeconfig, for the commands. */
  readonly context: string;
  /** Epoch milliseconds. */
  readonly now: number;
}

export function report({ checks, unreadable, waivers, context, now }: Seen): Report {
  const outcomes = checks.map((check) => check.outcome());
  const held = waivers.filter((waiver) => !isExpired(waiver, now));
  const unjudged = RULES.flatMap((rule) => unjudgedOf(rule, unreadable, outcomes, held));
  // With incomplete data such a rule would report findings that do not exist.
  const silent = new Set(
    RULES.filter((rule) => rule.whole && rule.reads.some((kind) => unreadable.has(kind))).map(({ id }) => id),
  );
  const found = [
    ...outcomes.flatMap(({ findings }) => findings).filter(({ rule }) => !silent.has(rule)),
    ...waivers.filter((waiver) => isExpired(waiver, now)).map(expiredFinding),
  ];
  const findings: Reported[] = [];
  const waived: Waived[] = [];
  const used = new Set<Waiver>();
  for (const finding of found) {
    const waiver = held.find((one) => waives(one, finding));
    if (waiver === undefined) findings.push(reported(finding, context));
    else {
      used.add(waiver);
      waived.push({ ...reported(finding, context), reason: waiver.reason, until: waiver.until });
    }
  }
  // The findings of such a rule are unknown, so whether its waivers are needed is unknown too.
  const blind = new Set(unjudged.map(({ rule }) => rule));
  return {
    findings: findings.toSorted(inOrder),
    waived: waived.toSorted(inOrder),
    unjudged,
    unused: held.filter((waiver) => !used.has(waiver) && !blind.has(waiver.rule)),
  };
}

function unjudgedOf(
  { id, severity, reads }: Rule & { readonly id: RuleId },
  unreadable: ReadonlyMap<Kind, string>,
  outcomes: readonly Outcome[],
  held: readonly Waiver[],
): readonly Unjudged[] {
  const missing = reads.filter((kind) => unreadable.has(kind));
  if (missing.length > 0) {
    const why = missing.map((kind) => `${kind} (${unreadable.get(kind)})`).join(', ');
    return [{ rule: id, severity, state: 'not_readable', why }];
  }
  const option = outcomes.find(({ needsOption }) => needsOption?.[id] !== undefined)?.needsOption?.[id];
  if (option !== undefined) {
    const waiver = held.find(({ rule, object }) => rule === id && object === '*');
    return [{ rule: id, severity, state: 'needs_option', why: option, ...(waiver && { waiver }) }];
  }
  const why = outcomes.find(({ notVisible }) => notVisible?.[id] !== undefined)?.notVisible?.[id];
  return why === undefined ? [] : [{ rule: id, severity, state: 'not_visible', why }];
}

function reported({ fix, ...finding }: Finding, context: string): Reported {
  const { severity, title } = ruleOf(finding.rule);
  return { severity, title, ...finding, mend: fix.map((step) => shellLine(step, context)), page: pageOf(finding.rule) };
}

function inOrder(a: Reported, b: Reported): number {
  const bySeverity = SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity);
  return bySeverity || compare(a.namespace, b.namespace) || compare(a.rule, b.rule) || compare(a.object, b.object);
}

/** Compares by code units: the same on every machine. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export type FailOn = Severity | 'none';

/**
 * `failed`: a finding is at least as severe as `failOn`. Otherwise, because a rule that was not evaluated must not
 * count as passed: `refused` where the caller may not read what a rule of that severity needs, `incomplete` where
 * it lacks an option, and that is not waived.
 */
export type Verdict = 'passed' | 'failed' | 'refused' | 'incomplete';

export function verdictOf({ findings, unjudged }: Report, failOn: FailOn): Verdict {
  if (failOn === 'none') return 'passed';
  const counts = SEVERITIES.slice(0, SEVERITIES.indexOf(failOn) + 1);
  if (findings.some(({ severity }) => counts.includes(severity))) return 'failed';
  const open = unjudged.filter(({ severity, waiver }) => counts.includes(severity) && waiver === undefined);
  if (open.some(({ state }) => state === 'not_readable')) return 'refused';
  return open.some(({ state }) => state === 'needs_option') ? 'incomplete' : 'passed';
}
