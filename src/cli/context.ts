/**
 * The context of a command: what it gets from the machine it runs on. It is built once a run, passed down, and real
 * in tests too.
 */
import { readEnvironment, type Environment } from './environment.ts';
import { parentProcess, type ParentId } from './plugin/parent-process.ts';
import { plainLines } from './terminal/plain-text.ts';
import { writeStdout } from './terminal/stdout.ts';
import { createSpinner, type Spinner } from './terminal/spinner.ts';

export interface CliContext {
  readonly environment: Environment;
  /** The program that started this one. */
  readonly parent: ParentId;
  /** Epoch milliseconds at which this process started. */
  readonly startedAt: number;
  /** Columns of the terminal that stdout is; absent where stdout is no terminal. */
  readonly columns?: number;
  /** Asks a question on stderr and returns the line that the user types; absent where no user is at a terminal. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
  /** A user reads the messages: stderr is a terminal. */
  readonly attended: boolean;
  /** Epoch milliseconds. */
  nowMs(): number;
  /** Writes to stdout: the command's result and nothing else. */
  print(text: string): void;
  /** Writes a message for the user to stderr. Never a token. */
  notify(message: string): void;
  /** Writes to stderr, with `--verbose` only. Never a token either. */
  detail(message: string): void;
  /** Shows a spinner next to `message` on stderr, where that is a terminal, until the result is called. */
  showProgress(message: string): () => void;
}

/** Loads readline only here: it takes time that a cached credential must not cost. */
async function askOnTerminal(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // The end of the input (Ctrl-D) is no answer.
  const closed = new Promise<string>((resolve) => void lines.once('close', () => resolve('')));
  try {
    return (await Promise.race([lines.question(question), closed])).trim();
  } finally {
    lines.close();
  }
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
    get ask() {
      return process.stdin.isTTY && process.stderr.isTTY ? askOnTerminal : undefined;
    },
    get attended() {
      return process.stderr.isTTY;
    },
    nowMs: () => Date.now(),
    print: writeStdout,
    notify,
    detail: options.verbose === true ? notify : () => undefined,
    showProgress: (message) => spinner().start(message),
  };
}
