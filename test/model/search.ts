/**
 * One search of one model: spin makes a program of it, the C compiler builds that, and the program visits every state.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const MODELS = fileURLToPath(new URL('.', import.meta.url));

/**
 * A search has no deadline and waits for no time, and the tests that run with it have deadlines: it has a third of what
 * they have. With the lowest priority it would never end beside another program.
 */
const LOWER = ['-n', '5'];

/** Phrases of the search's report if it did not see everything, or did not keep each state whole. */
const CUT_SHORT = /max search depth too small|Search not completed|-DMEMLIM bound|out of memory|hash table full/i;

export interface Finding {
  /** Number that the search itself reports; it stops at the first. */
  readonly errors: number;
  readonly states: number;
  /** Every reachable state was visited, each compared whole. Never true where an error ended the search. */
  readonly complete: boolean;
  /** The assertion that fell, in Promela. Undefined where none did. */
  readonly violated: string | undefined;
  /** Steps of the counterexample. */
  readonly steps: number | undefined;
  /** Statements that no run reaches: `file:line, "statement"`. Empty where all are. */
  readonly unreached: readonly string[];
}

export interface SearchOptions {
  /** To see everything in little memory, or to find the shortest counterexample. */
  readonly order: 'depth-first' | 'breadth-first';
  /** Longest run that is followed. */
  readonly depth?: number;
  /** Memory for the hash table, the stack and the states. */
  readonly memoryMiB?: number;
}

/**
 * Searches `test/model/NAME.pml`.
 * @param definitions preprocessor definitions, such as `NODES=3` or `WITHOUT_RUN_ID`
 * @throws if spin or the compiler rejects the model, or the search does not report at all
 */
export async function search(name: string, definitions: readonly string[], options: SearchOptions): Promise<Finding> {
  const { order, depth = 200_000, memoryMiB = 1024 } = options;
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-model-'));
  try {
    const given = definitions.map((each) => `-D${each}`);
    // -o3: statements are not merged, so that what is never reached is named statement by statement.
    await execute('spin', ['-o3', ...given, '-a', join(MODELS, `${name}.pml`)], { cwd: folder });
    const breadth = order === 'breadth-first' ? ['-DBFS'] : [];
    // What ends at the first error is sooner searched than optimised, and most models are small: more than -O1 costs more than it saves.
    const optimised = order === 'breadth-first' ? '-O0' : '-O1';
    // -DNOREDUCE: no partial-order reduction, so that a statement which is called unreached is.
    const flags = ['-DSAFETY', '-DNOREDUCE', `-DMEMLIM=${memoryMiB}`, ...breadth, optimised, '-w'];
    await execute('nice', [...LOWER, 'gcc', ...flags, '-o', 'pan', 'pan.c'], { cwd: folder });
    // -E: a process with nothing left to do is no error here; only assertions are.
    const { stdout, stderr } = await execute('nice', [...LOWER, join(folder, 'pan'), '-E', '-w20', `-m${depth}`], {
      cwd: folder,
    });
    return read(stdout + stderr);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function read(report: string): Finding {
  const errors = /errors: (\d+)/.exec(report)?.[1];
  const states = /(\d+) states, stored/.exec(report)?.[1];
  if (errors === undefined || states === undefined) throw new Error(`the search did not report:\n${report}`);
  const fallen = /assertion violated\s+(.*) \(at depth (\d+)\)/.exec(report);
  return {
    errors: Number(errors),
    states: Number(states),
    complete: report.includes('Full statespace search') && errors === '0' && !CUT_SHORT.test(report),
    violated: fallen?.[1],
    steps: fallen?.[2] === undefined ? undefined : Number(fallen[2]),
    unreached: [...report.matchAll(/^\t(\S+:\d+), state \d+, (".*")$/gm)]
      .map(([, location, statement]) => `${location}, ${statement}`)
      .filter((each) => !each.endsWith('"-end-"')),
  };
}
