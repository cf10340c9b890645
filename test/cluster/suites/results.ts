/** What the last runs of Kubernetes' own suites showed, test by test. The page about compatibility has its table from here. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Passes, Suite } from './comparison.ts';

export interface TestResult {
  readonly passes: Passes;
  /** UTC, such as `2026-12-01`. */
  readonly date: string;
}

export interface SuiteResult {
  /** Of the API server, the controllers and the suite itself. */
  readonly kubernetes: string;
  readonly tests: Readonly<Record<string, TestResult>>;
}

export type Results = Readonly<Partial<Record<Suite, SuiteResult>>>;

const FILE = fileURLToPath(new URL('results.json', import.meta.url));

export const readResults = async (): Promise<Results> => JSON.parse(await readFile(FILE, 'utf8')) as Results;

/** Each test's result in place of its last one; those of another Kubernetes go. So a suite may run in parts. */
export async function writeResults(
  suite: Suite,
  kubernetes: string,
  compared: ReadonlyMap<string, Passes>,
): Promise<void> {
  const all = await readResults();
  const before = all[suite]?.kubernetes === kubernetes ? all[suite].tests : {};
  const date = new Date().toISOString().slice(0, 10);
  const now = Object.fromEntries([...compared].map(([name, passes]) => [name, { passes, date }]));
  const tests = Object.fromEntries(
    Object.entries({ ...before, ...now }).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
  await writeFile(FILE, `${JSON.stringify({ ...all, [suite]: { kubernetes, tests } }, null, 2)}\n`);
}
