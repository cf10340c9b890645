/** The report as text, and as data for scripts. Text of the cluster reaches a terminal only as plain text. */
import { commentLine, LONGEST_TYPED } from './rules/kubectl.ts';
import { RULES, SEVERITIES, type Severity } from './rules/rules.ts';
import type { Report, Reported, UnjudgedState } from './rules/report.ts';
import { objectPath } from './rules/waivers.ts';
import { plainText } from '../cli/terminal/plain-text.ts';
import { table } from '../cli/terminal/table.ts';

export interface ReportContext {
  /** Public URL of Portcullis. */
  readonly server: string;
  readonly cluster: string;
  /** Its context, as `portcullis kubeconfig` names it. */
  readonly context: string;
  /** RFC 3339. */
  readonly at: string;
}

export function reportText(report: Report, reportContext: ReportContext, columns?: number): string {
  const parts = [
    ...(report.findings.length === 0
      ? []
      : [findingsTable(report.findings, columns), fixText(report.findings, reportContext)]),
    ...(report.unjudged.length === 0 ? [] : [unjudgedTable(report, columns)]),
    ...report.unused.map((one) => `unused waiver: ${plainText(`${one.rule} ${one.object}`)}\n`),
    `${summaryLine(report, reportContext)}\n`,
  ];
  return parts.join('\n');
}

const findingsTable = (findings: readonly Reported[], columns?: number): string =>
  table(
    ['SEVERITY', 'RULE', 'NAMESPACE', 'OBJECT', 'EVIDENCE'],
    findings.map(({ severity, rule, namespace, object, evidence }) => [
      severity,
      rule,
      namespace || '-',
      object,
      evidence,
    ]),
    columns,
  );

/** Returns the fixes, to be pasted into a shell as a whole or line by line. */
function fixText(findings: readonly Reported[], { context }: ReportContext): string {
  const lines = findings.flatMap((finding) => [
    '',
    commentLine(`${finding.rule}: ${objectPath(finding)} (docs/${finding.page})`),
    // Repeated here, because a narrow terminal cuts it in the table.
    commentLine(finding.evidence),
    ...finding.mend.map(typedLine),
  ]);
  const first = commentLine(`fixes, for the context that portcullis kubeconfig writes: ${context}`);
  return `${[first, ...lines].join('\n')}\n`;
}

/** Never a part of a command: an open quote would take in the next lines, and a shell would run text of an attacker. */
function typedLine(line: string): string {
  if (Buffer.byteLength(line) <= LONGEST_TYPED && plainText(line, LONGEST_TYPED) === line) return line;
  return commentLine(
    'the command is too long for one line of a terminal: take it from --output json and run it from a file',
  );
}

const STATES: Readonly<Record<UnjudgedState, string>> = {
  not_readable: 'not readable',
  needs_option: 'needs an option',
  not_visible: 'not visible',
};

const unjudgedTable = ({ unjudged }: Report, columns?: number): string =>
  table(
    ['RULE NOT EVALUATED', 'SEVERITY', 'STATE', 'REASON'],
    unjudged.map(({ rule, severity, state, why, waiver }) => [
      rule,
      severity,
      STATES[state],
      waiver === undefined ? why : `${why}; waived until ${waiver.until}`,
    ]),
    columns,
  );

function counts({ findings, waived, unjudged }: Report) {
  // With a waiver for the whole rule, an admin has decided that it need not be evaluated.
  const open = unjudged.filter(({ waiver }) => waiver === undefined);
  const inState = (state: UnjudgedState): number => unjudged.filter((one) => one.state === state).length;
  return {
    ...bySeverity(findings),
    notEvaluated: bySeverity(open),
    waived: waived.length,
    notReadable: inState('not_readable'),
    needsOption: inState('needs_option'),
    notVisible: inState('not_visible'),
  };
}

function bySeverity(rated: readonly { readonly severity: Severity }[]): Record<Severity, number> {
  const numbers = SEVERITIES.map((severity) => [severity, rated.filter((one) => one.severity === severity).length]);
  return Object.fromEntries(numbers) as Record<Severity, number>;
}

function summaryLine(report: Report, { cluster }: ReportContext): string {
  const { waived, notReadable, needsOption, notVisible, notEvaluated, ...found } = counts(report);
  const judged = RULES.length - report.unjudged.length;
  const unjudged = [
    ...(notReadable === 0 ? [] : [`${notReadable} not readable`]),
    ...(needsOption === 0 ? [] : [`${needsOption} without an option`]),
    ...(notVisible === 0 ? [] : [`${notVisible} not visible`]),
  ];
  const rules = [`${judged} of ${RULES.length} rules evaluated`, ...unjudged].join(', ');
  // Never "0 high" where a rule of that severity has not been evaluated.
  const findings = SEVERITIES.map((severity) => {
    if (notEvaluated[severity] === 0) return `${found[severity]} ${severity}`;
    return found[severity] === 0 ? `${severity} unknown` : `at least ${found[severity]} ${severity}`;
  }).join(', ');
  return `${cluster}: ${findings}; ${waived} waived; ${rules}`;
}

/** Returns the output of `--output json`. */
export function reportData(report: Report, reportContext: ReportContext): unknown {
  const unjudged = new Map(report.unjudged.map(({ rule, severity: _severity, ...rest }) => [rule, rest]));
  return {
    ...reportContext,
    summary: counts(report),
    findings: report.findings,
    waived: report.waived,
    unusedWaivers: report.unused,
    rules: RULES.map(({ id, title, severity }) => ({
      id,
      title,
      severity,
      page: `posture/${id}.md`,
      ...(unjudged.get(id) ?? { state: 'judged' }),
    })),
  };
}
