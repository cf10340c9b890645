/**
 * Writes what the last runs of Kubernetes' own suites showed into docs/compatibility.md: `node scripts/kubernetes-suites.ts`.
 * A unit test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exceptionsOf, type Passes, type Suite } from '../test/cluster/suites/comparison.ts';
import { readResults, type SuiteResult } from '../test/cluster/suites/results.ts';
import { wrapped } from './markdown-text.ts';

export const COMPATIBILITY = fileURLToPath(new URL('../docs/compatibility.md', import.meta.url));
export const REGENERATE_SUITES = 'node scripts/kubernetes-suites.ts';

const BEGIN = `<!-- Down to the next comment written by \`${REGENERATE_SUITES}\`. -->\n`;
const END = '<!-- Below is written by hand. -->\n';

const SUITES: Readonly<Record<Suite, string>> = {
  'test-cmd': 'kubectl’s, by function (`test/cmd`)',
  e2e: 'end-to-end, by test (`test/e2e`)',
};

/** In the order of the table's columns; what passes both ways is counted, and the others are named below it. */
const COLUMNS: Readonly<Record<Passes, string>> = {
  both: 'Pass both ways',
  neither: 'Fails both ways',
  directly: 'Directly alone',
  through: 'Through alone',
};

const PASSES = Object.keys(COLUMNS) as Passes[];

/** Returns the table, and below it what does not pass both ways, by name. */
export async function suitesTable(): Promise<string> {
  const results = await readResults();
  const rows: string[] = [];
  const items: string[] = [];
  for (const suite of Object.keys(SUITES) as Suite[]) {
    const result = results[suite];
    if (result === undefined) continue;
    rows.push(row(suite, result));
    const reasons = new Map((await exceptionsOf(suite)).map(({ name, reason }) => [name, reason]));
    for (const passes of PASSES.slice(1)) {
      for (const name of named(result, passes)) {
        items.push(wrapped(`${COLUMNS[passes]}: \`${name}\`. ${reasons.get(name) ?? ''}`.trim(), '- '));
      }
    }
  }
  const head = ['Suite', 'Kubernetes', 'Last on', ...Object.values(COLUMNS)];
  const table = [cells(head), cells(head.map(() => '---')), ...rows].join('\n');
  return items.length === 0 ? table : `${table}\n\n${items.join('\n')}`;
}

const cells = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`;

const named = ({ tests }: SuiteResult, passes: Passes): readonly string[] =>
  Object.entries(tests).flatMap(([name, test]) => (test.passes === passes ? [name] : []));

function row(suite: Suite, result: SuiteResult): string {
  const dates = Object.values(result.tests)
    .map(({ date }) => date)
    .toSorted();
  const [first = '', last = ''] = [dates.at(0), dates.at(-1)];
  const conformance = named(result, 'both').filter((name) => name.includes('[Conformance]')).length;
  const counts = PASSES.map((passes) => String(named(result, passes).length));
  if (conformance > 0) counts[0] += ` (${conformance} Conformance)`;
  return cells([SUITES[suite], result.kubernetes, first === last ? last : `${first} to ${last}`, ...counts]);
}

/** Returns the page with this table in it. */
export function withTable(page: string, table: string): string {
  const [before = '', rest = ''] = page.split(BEGIN);
  const [, after = ''] = rest.split(END);
  return `${before}${BEGIN}\n${table}\n\n${END}${after}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(COMPATIBILITY, withTable(readFileSync(COMPATIBILITY, 'utf8'), await suitesTable()));
}
