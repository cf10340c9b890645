/**
 * The command line as its packages have it (scripts/build-cli), built once for a run of tests: it starts in half of the processor's time that its
 * sources take, and the tests start it hundreds of times.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Below node_modules, where it finds the library of the keyring. */
const DIR = join(ROOT, 'node_modules/.cache/portcullis');

const SOURCES = `'${join(ROOT, 'src/main.ts')}'`;

/** The whole program, in the tests of a project with the setup below. */
export const PROGRAM = join(DIR, 'portcullis.cjs');

/** The same, known to every worker of a run that has built it. */
const BUILT = 'PORTCULLIS_TEST_BUILT';

/** Lets a demo's command start what its packages have, in a run that has built it, and not the sources. */
export function startBuilt(command: string): void {
  const built = process.env[BUILT];
  if (built === undefined) return;
  const script = readFileSync(command, 'utf8');
  const changed = script.replace(SOURCES, `'${built}'`);
  if (changed === script) throw new Error(`${command} does not start ${SOURCES}`);
  writeFileSync(command, changed);
}

/** @returns the whole program, in that folder */
export async function buildProgram(dir: string): Promise<string> {
  // Only those who build load the bundler.
  const { besideProgram, bundle } = await import('../../scripts/build-cli/bundle.ts');
  const bundles = await bundle(ROOT);
  mkdirSync(dir, { recursive: true });
  put(join(dir, 'program.cjs'), bundles.program);
  put(join(dir, 'portcullis.cjs'), besideProgram(bundles));
  return join(dir, 'portcullis.cjs');
}

/** Another run of tests may start the same file meanwhile. */
function put(path: string, text: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text);
  renameSync(draft, path);
}

/** Vitest calls it before the first test of a project, and before tests run again. */
export default async function setup(project: TestProject): Promise<void> {
  process.env[BUILT] = await buildProgram(DIR);
  project.onTestsRerun(async () => void (await buildProgram(DIR)));
}
