/** The report for people, and as plain data for programs. Nothing of the cluster gets to a terminal but as plain text. */
import { contextName } from '../../core/kubeconfig.ts';
import { RULES, SEVERITIES } from '../../core/posture/rules.ts';
import type { Report, Reported } from '../../core/posture/report.ts';
import { placeOf } from '../../core/posture/waivers.ts';
import { plainText } from '../plain-text.ts';
import { table } from '../table.ts';

export interface Asked {
  /** Public URL of the gate. */
  readonly server: string;
  readonly cluster: string;
  /** RFC 3339. */
  readonly at: string;
}

/** A patch of a workload with many Secrets is long, and a command that was cut would be worse than none. */
const LONGEST_LINE = 64 * 1024;

export function reportText(report: Report, asked: Asked, columns?: number): string {
  const parts = [
    ...(report.findings.length === 0
      ? []
      : [findingsTable(report.findings, columns), mendText(report.findings, asked)]),
    ...(report.unjudged.length === 0 ? [] : [unjudgedTable(report, columns)]),
    ...report.unused.map((one) => `a waiver that nothing needs: ${plainText(`${one.rule} ${one.object}`)}\n`),
    `${summaryLine(report, asked)}\n`,
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

/** Commands without `--context`: the person's current one may be another cluster, so the first line says which is meant. */
function mendText(findings: readonly Reported[], { server, cluster }: Asked): string {
  const lines = findings.flatMap((finding) => [
    '',
    `# ${finding.rule}: ${placeOf(finding)} (docs/${finding.page})`,
    // Whole here: a narrow terminal cuts it in the table.
    `# ${finding.evidence}`,
    ...finding.mend,
  ]);
  const first = `# what mends it; first, as portcullis kubeconfig names it: kubectl config use-context ${contextName(server, cluster)}`;
  return `${[first, ...lines].map((line) => plainText(line, LONGEST_LINE)).join('\n')}\n`;
}

const STATES = { not_readable: 'not readable', not_visible: 'not visible' } as const;

const unjudgedTable = ({ unjudged }: Report, columns?: number): string =>
  table(
    ['RULE', 'NOT JUDGED', 'WHY'],
    unjudged.map(({ rule, state, why }) => [rule, STATES[state], why]),
    columns,
  );

function counts({ findings, waived, unjudged }: Report) {
  const bySeverity = SEVERITIES.map((severity) => [
    severity,
    findings.filter((one) => one.severity === severity).length,
  ]);
  const inState = (state: string): number => unjudged.filter((one) => one.state === state).length;
  return {
    ...(Object.fromEntries(bySeverity) as Record<(typeof SEVERITIES)[number], number>),
    waived: waived.length,
    notReadable: inState('not_readable'),
    notVisible: inState('not_visible'),
  };
}

function summaryLine(report: Report, { cluster }: Asked): string {
  const { high, medium, low, waived, notReadable, notVisible } = counts(report);
  const judged = RULES.length - report.unjudged.length;
  const unjudged = [
    ...(notReadable === 0 ? [] : [`${notReadable} not readable`]),
    ...(notVisible === 0 ? [] : [`${notVisible} not visible`]),
  ];
  const rules = [`${judged} of ${RULES.length} rules judged`, ...unjudged].join(', ');
  return `${cluster}: ${high} high, ${medium} medium, ${low} low; ${waived} waived; ${rules}`;
}

/** What `--output json` prints. */
export function reportData(report: Report, asked: Asked): unknown {
  const unjudged = new Map(report.unjudged.map(({ rule, state, why }) => [rule, { state, why }]));
  return {
    ...asked,
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
