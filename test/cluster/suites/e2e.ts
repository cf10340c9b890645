/** Kubernetes' own end-to-end tests that need no node: those that `e2e.json` chooses, against one stage. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Outcome } from './comparison.ts';
import { asset } from './source.ts';
import type { SuiteStage } from './stage.ts';

/** Regular expressions of Go, on the whole name of a test. */
const chosenSchema = z.strictObject({ focus: z.array(z.string()), skip: z.array(z.string()) });

const reportSchema = z.array(
  z.object({
    SpecReports: z.array(
      z.object({
        ContainerHierarchyTexts: z.array(z.string()).nullable(),
        LeafNodeType: z.string(),
        LeafNodeText: z.string(),
        State: z.string(),
      }),
    ),
  }),
);

/** @param pattern a regular expression of Go, in place of what is chosen */
export async function runE2e(_source: string, stage: SuiteStage, pattern?: string): Promise<Outcome> {
  const chosen = chosenSchema.parse(JSON.parse(await readFile(new URL('e2e.json', import.meta.url), 'utf8')));
  const results = join(stage.folder, 'results');
  await mkdir(results, { recursive: true });
  const report = join(results, 'report.json');
  const { focus, skip } = pattern === undefined ? chosen : { focus: [pattern], skip: [] };
  const child = spawn(
    asset('e2e.test'),
    [
      `--kubeconfig=${join(stage.folder, 'kubeconfig')}`,
      `--kubectl-path=${join(stage.folder, 'bin', 'kubectl')}`,
      '--provider=skeleton',
      // No node is there, and none is waited for.
      '--num-nodes=1',
      '--allowed-not-ready-nodes=-1',
      '--dump-logs-on-failure=false',
      '--ginkgo.no-color',
      '--ginkgo.timeout=3h',
      `--ginkgo.json-report=${report}`,
      ...focus.map((each) => `--ginkgo.focus=${each}`),
      ...skip.map((each) => `--ginkgo.skip=${each}`),
    ],
    { env: { ...stage.environment, HOME: join(stage.folder, 'home') }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const log = createWriteStream(join(results, 'e2e.log'), { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  await once(child, 'close');
  log.end();
  const reports = reportSchema.parse(JSON.parse(await readFile(report, 'utf8')));
  const tests = reports
    .flatMap(({ SpecReports }) => SpecReports)
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' && State !== 'skipped' && State !== 'pending');
  return new Map(
    tests.map(({ ContainerHierarchyTexts, LeafNodeText, State }) => [
      [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' '),
      State === 'passed',
    ]),
  );
}
