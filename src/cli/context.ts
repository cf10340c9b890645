/**
 * What a command gets from the machine it runs on: built once a run, passed down, and real in tests too.
 */
import { readEnvironment, type Environment } from './environment.ts';
import { parentProcess, type ParentId } from './plugin/parent-process.ts';
import { plainLines } from './terminal/plain-text.ts';
import { writeStdout } from './terminal/stdout.ts';
import { createSpinner, type Spinner } from './terminal/spinner.ts';

export interface CliContext {
  readonly environment: Environment;
  /** The program that asks. */
  readonly parent: ParentId;
  /** Epoch milliseconds at which this process began. */
  readonly startedAt: number;
  /** Cells of a line of the terminal that stdout is; absent where it is none. */
  readonly columns?: number;
  /** Epoch milliseconds. */
  now(): number;
  /** To stdout: the command's result and nothing else. */
  print(text: string): void;
  /** To stderr, for people. Never a token. */
  notify(message: string): void;
  /** To stderr with `--verbose` only. Never a token either. */
  detail(message: string): void;
  /** A spinner beside `words` on stderr where that is a terminal, until the result is called. */
  showProgress(message: string): () => void;
}

export function createCliContext(options: { readonly verbose?: boolean } = {}): CliContext {
  // Opening stderr takes time that a cached credential must not cost.
  let onStderr: Spinner | undefined;
  const spinner = (): Spinner => (onStderr ??= createSpinner(process.stderr));
  const notify = (message: string): void => spinner().write(`portcullis: ${plainLines(message)}\n`);
  return {
    environment: readEnvironment(),
    parent: parentProcess(),
    startedAt: performance.timeOrigin,
    ...(process.stdout.isTTY ? { columns: process.stdout.columns || 80 } : {}),
    now: () => Date.now(),
    print: writeStdout,
    notify,
    detail: options.verbose === true ? notify : () => undefined,
    showProgress: (message) => spinner().start(message),
  };
}
