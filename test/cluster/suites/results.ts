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

/** The names of tests by the date of their last run and what it showed: most of them share both. */
type Runs = Readonly<Record<string, Readonly<Partial<Record<Passes, readonly string[]>>>>>;
type Written = Readonly<Partial<Record<Suite, { readonly kubernetes: string; readonly runs: Runs }>>>;

export async function readResults(): Promise<Results> {
  const written = Object.entries(JSON.parse(await readFile(FILE, 'utf8')) as Written);
  return Object.fromEntries(
    written.map(([suite, { kubernetes, runs }]) => [suite, { kubernetes, tests: Object.fromEntries(testsOf(runs)) }]),
  );
}

const testsOf = (runs: Runs): readonly (readonly [string, TestResult])[] =>
  Object.entries(runs)
    .flatMap(([date, shown]) =>
      (Object.entries(shown) as [Passes, readonly string[]][]).flatMap(([passes, names]) =>
        names.map((name) => [name, { passes, date }] as const),
      ),
    )
    .toSorted(([one], [other]) => (one < other ? -1 : 1));

function runsOf(tests: SuiteResult['tests']): Runs {
  const runs: Record<string, Partial<Record<Passes, string[]>>> = {};
  for (const [name, { passes, date }] of Object.entries(tests)) ((runs[date] ??= {})[passes] ??= []).push(name);
  return runs;
}

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
  const results: Results = { ...all, [suite]: { kubernetes, tests: { ...before, ...now } } };
  const written = Object.entries(results).map(([name, { kubernetes: version, tests }]) => {
    const sorted = Object.entries(tests).toSorted(([one], [other]) => (one < other ? -1 : 1));
    return [name, { kubernetes: version, runs: runsOf(Object.fromEntries(sorted)) }];
  });
  await writeFile(FILE, `${JSON.stringify(Object.fromEntries(written), null, 2)}\n`);
}
