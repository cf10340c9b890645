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

/** The program with the server's commands as well, quoted for sh. */
export const SOURCES = `'${process.execPath}' '${join(ROOT, 'src/main.ts')}'`;

/** The whole program, in the tests of a project with the setup below. */
export const PROGRAM = join(DIR, 'portcullis.cjs');

/** Names the command before it, which serves kubectl from the cache, to every worker of a run that has built it. */
const BUILT = 'PORTCULLIS_TEST_BUILT';

/** The command of the packages in a run that has built it, quoted for sh; the whole program from its sources otherwise. */
export function builtCommand(): string {
  const built = process.env[BUILT];
  return built === undefined ? SOURCES : `'${built}'`;
}

/** Lets a demo's command start it. */
export function startBuilt(command: string): void {
  const script = readFileSync(command, 'utf8');
  if (!script.includes(SOURCES)) throw new Error(`${command} does not start the sources`);
  writeFileSync(command, script.replace(SOURCES, builtCommand()));
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

/** As in the packages: the shell front, and what it starts for everything else. */
function putFront(): void {
  for (const folder of ['bin', 'lib/portcullis']) mkdirSync(join(DIR, folder), { recursive: true });
  put(join(DIR, 'bin/portcullis'), readFileSync(join(ROOT, 'src/cli-package/portcullis.sh'), 'utf8'), 0o755);
  const full = `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`;
  put(join(DIR, 'lib/portcullis/portcullis'), full, 0o755);
}

/** Another run of tests may start the same file meanwhile. */
function put(path: string, text: string, mode = 0o644): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}

async function build(): Promise<void> {
  await buildProgram(DIR);
  putFront();
  process.env[BUILT] = join(DIR, 'bin/portcullis');
}

/** Vitest calls it before the first test of a project, and before tests run again. */
export default async function setup(project: TestProject): Promise<void> {
  await build();
  project.onTestsRerun(build);
}
