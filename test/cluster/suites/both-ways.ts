/** Runs one of Kubernetes' own suites straight at an API server and through two replicas, at the same time, and keeps what came of it. */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compare, exceptionsOf, judge, type Outcome, type Passes, type Suite } from './comparison.ts';
import { writeResults } from './results.ts';
import { givenPattern, givenSource, kubernetesVersion } from './source.ts';
import { startSuiteStage, WAYS, type SuiteStage } from './stage.ts';

/** Where the output of each test lies afterwards, by suite and way. */
const ARTEFACTS = fileURLToPath(new URL('../../../test-artefacts/kubernetes/', import.meta.url));

export type SuiteRunner = (source: string, stage: SuiteStage, pattern?: string) => Promise<Outcome>;

export interface BothWays extends ReturnType<typeof judge> {
  readonly compared: ReadonlyMap<string, Passes>;
}

/** What differs runs once more on both stages: a test that waits for controllers can be late once on a busy machine. */
export async function runBothWays(suite: Suite, run: SuiteRunner): Promise<BothWays> {
  const source = givenSource() ?? '';
  const exceptions = await exceptionsOf(suite);
  const stages = await Promise.all(WAYS.map((way) => startSuiteStage(source, way)));
  try {
    const bothWays = async (pattern?: string): Promise<readonly Outcome[]> =>
      Promise.all(stages.map((stage) => run(source, stage, pattern)));
    let outcomes = await bothWays(givenPattern());
    const first = compare(outcomes);
    const { broken } = judge(first, exceptions);
    const differing = [...first].filter(([name, passes]) => passes === 'through' || broken.includes(name));
    if (differing.length > 0) {
      const again = await bothWays(`(^| )(${differing.map(([name]) => quoted(name)).join('|')})$`);
      outcomes = outcomes.map((outcome, index) => new Map([...outcome, ...(again[index] ?? [])]));
    }
    const compared = compare(outcomes);
    await writeResults(suite, await kubernetesVersion(), compared);
    return { compared, ...judge(compared, exceptions) };
  } finally {
    await Promise.all(stages.map((stage, index) => keepOutput(stage, join(ARTEFACTS, suite, WAYS[index] ?? ''))));
    await Promise.all(stages.map((stage) => stage.stop()));
  }
}

/** For a regular expression of bash or of Go. */
const quoted = (name: string): string => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

async function keepOutput({ folder }: SuiteStage, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(join(folder, 'results'), to, { recursive: true }).catch(() => {});
}
