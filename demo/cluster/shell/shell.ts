/**
 * A shell small enough to read: it runs inside the cluster's own process and starts nothing outside it.
 *
 * A client that may exec chooses the arguments, so they only select from the programs that are listed here.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { parseScript, ShellSyntaxError } from './parser.ts';
import type { Command, Script, Word } from './parser.ts';
import { INTERRUPTED, NOT_FOUND } from './process.ts';
import type { Process } from './process.ts';
import { PROGRAMS } from './programs.ts';

const SHELLS = new Set(['sh', 'bash', 'ash', '/bin/sh', '/bin/bash', '/bin/ash']);

/** `exit N`, on its way out of loops and lists. */
class Exit extends Error {
  readonly code: number;

  constructor(code: number) {
    super('exit');
    this.code = code;
  }
}

export const programExists = (name: string): boolean =>
  SHELLS.has(name) || name === 'exit' || Object.hasOwn(PROGRAMS, baseName(name));

const baseName = (name: string): string => name.replace(/^\/(usr\/)?bin\//, '');

/** Runs `work` with a signal that ^C and the caller's leaving abort; what ^C did before holds again afterwards. */
async function interruptible<T>(process: Process, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const outer = process.foreground.interrupt;
  process.foreground.interrupt = () => {
    interrupted.abort();
    outer?.();
  };
  try {
    return await work(AbortSignal.any([process.closed, interrupted.signal]));
  } finally {
    process.foreground.interrupt = outer;
  }
}

class Shell {
  readonly #process: Process;
  /** Exit code of the last command: `$?`. */
  #last = 0;

  constructor(process: Process) {
    this.#process = process;
  }

  async run(text: string): Promise<number> {
    return interruptible(this.#process, async (signal) => {
      try {
        await this.#script(parseScript(text), signal);
      } catch (error) {
        if (!(error instanceof ShellSyntaxError)) throw error;
        await this.#process.err(`sh: syntax error: ${error.message}\n`);
        this.#last = 2;
      }
      if (signal.aborted) this.#last = INTERRUPTED;
      return this.#last;
    });
  }

  async #script(script: Script, signal: AbortSignal): Promise<void> {
    for (const { when, command } of script) {
      if (signal.aborted) return;
      const due = when === 'always' || (this.#last === 0) === (when === 'success');
      if (due) await this.#command(command, signal);
    }
  }

  async #command(command: Command, signal: AbortSignal): Promise<void> {
    if (command.kind === 'simple') {
      const process = command.toStderr
        ? { ...this.#process, out: (text: string | Buffer) => this.#process.err(text) }
        : this.#process;
      const argv = command.parts.map((word) => this.#expand(word));
      this.#last = await runProgram(argv, process, signal);
      return;
    }
    while (!signal.aborted) {
      await this.#script(command.test, signal);
      if (this.#last !== 0) break;
      await this.#script(command.body, signal);
      // A loop of programs that never wait must not keep the cluster from its other work.
      await delay(1);
    }
    this.#last = 0;
  }

  #expand(word: Word): string {
    const value = (name: string): string => (name === '?' ? String(this.#last) : (this.#process.env.get(name) ?? ''));
    return word
      .map(({ text, expands }) =>
        expands ? text.replaceAll(/\$\{?(\?|\w+)\}?/g, (_, name: string) => value(name)) : text,
      )
      .join('');
  }

  /** Reads standard input line by line, with a prompt on a terminal. */
  async interact(): Promise<number> {
    const { foreground } = this.#process;
    // A shell within a shell keeps ^C to itself.
    const outer = foreground.interrupt;
    foreground.interrupt = undefined;
    try {
      return await this.#lines();
    } finally {
      foreground.interrupt = outer;
    }
  }

  async #lines(): Promise<number> {
    while (!this.#process.closed.aborted) {
      if (this.#process.interactive) await this.#process.out('/ # ');
      const { line, interrupted } = await interruptible(this.#process, async (signal) => ({
        line: await this.#process.input.line(signal),
        interrupted: signal.aborted,
      }));
      if (interrupted) continue;
      if (line === undefined) return this.#last;
      await this.run(line);
    }
    return INTERRUPTED;
  }
}

async function runShell(args: readonly string[], process: Process): Promise<number> {
  const shell = new Shell(process);
  const script = args.indexOf('-c') + 1;
  try {
    return script > 0 ? await shell.run(args[script] ?? '') : await shell.interact();
  } catch (error) {
    if (error instanceof Exit) return error.code;
    throw error;
  }
}

async function runProgram(argv: readonly string[], process: Process, signal: AbortSignal): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === '') return 0;
  if (name === 'exit') throw new Exit(Number(args[0] ?? 0) & 0xff);
  if (SHELLS.has(name)) return runShell(args, process);
  const program = Object.hasOwn(PROGRAMS, baseName(name)) ? PROGRAMS[baseName(name)] : undefined;
  if (program !== undefined) return program(args, process, signal);
  await process.err(`sh: ${name}: not found\n`);
  return NOT_FOUND;
}

/**
 * Runs a command to its end.
 * @param argv program and arguments; `programExists` is to be asked first
 * @returns exit code, 130 after ^C
 */
export async function runCommand(argv: readonly string[], process: Process): Promise<number> {
  try {
    if (SHELLS.has(argv[0] ?? '')) return await runShell(argv.slice(1), process);
    return await interruptible(process, async (signal) => {
      const code = await runProgram(argv, process, signal);
      return signal.aborted ? INTERRUPTED : code;
    });
  } catch (error) {
    if (error instanceof Exit) return error.code;
    throw error;
  }
}
