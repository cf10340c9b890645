/**
 * A shell small enough to read: it runs inside the cluster's own process and starts nothing outside it.
 *
 * Threat: whoever may exec chooses the words. They only ever select from the programs listed here.
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

class Shell {
  readonly #process: Process;
  #last = 0;

  constructor(process: Process) {
    this.#process = process;
  }

  #interrupted(): boolean {
    return this.#last === INTERRUPTED;
  }

  async run(text: string): Promise<number> {
    try {
      await this.#script(parseScript(text));
    } catch (error) {
      if (!(error instanceof ShellSyntaxError)) throw error;
      await this.#process.err(`sh: syntax error: ${error.message}\n`);
      this.#last = 2;
    }
    return this.#last;
  }

  async #script(script: Script): Promise<void> {
    for (const { when, command } of script) {
      if (this.#process.closed.aborted || this.#interrupted()) return;
      const due = when === 'always' || (this.#last === 0) === (when === 'success');
      if (due) await this.#command(command);
    }
  }

  async #command(command: Command): Promise<void> {
    if (command.kind === 'simple') {
      const process = command.toStderr
        ? { ...this.#process, out: (text: string | Buffer) => this.#process.err(text) }
        : this.#process;
      this.#last = await runProgram(
        command.words.map((word) => this.#expand(word)),
        process,
      );
      return;
    }
    for (;;) {
      await this.#script(command.test);
      if (this.#last !== 0 || this.#process.closed.aborted) break;
      await this.#script(command.body);
      if (this.#interrupted()) return;
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

  /** Line by line from standard input, with a prompt where there is a person. */
  async interact(): Promise<number> {
    for (;;) {
      if (this.#process.interactive) await this.#process.out('/ # ');
      const interrupted = new AbortController();
      this.#process.foreground.interrupt = () => interrupted.abort();
      const line = await this.#process.input.line(AbortSignal.any([this.#process.closed, interrupted.signal]));
      if (this.#process.closed.aborted) return INTERRUPTED;
      if (interrupted.signal.aborted) continue;
      if (line === undefined) return this.#last;
      if (this.#interrupted()) this.#last = 0;
      await this.run(line);
    }
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

async function runProgram(argv: readonly string[], process: Process): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === '') return 0;
  if (name === 'exit') throw new Exit(Number(args[0] ?? 0) & 0xff);
  if (SHELLS.has(name)) return runShell(args, process);
  const program = Object.hasOwn(PROGRAMS, baseName(name)) ? PROGRAMS[baseName(name)] : undefined;
  if (program === undefined) {
    await process.err(`sh: ${name}: not found\n`);
    return NOT_FOUND;
  }
  const interrupted = new AbortController();
  process.foreground.interrupt = () => interrupted.abort();
  const signal = AbortSignal.any([process.closed, interrupted.signal]);
  const code = await program(args, process, signal);
  return interrupted.signal.aborted ? INTERRUPTED : code;
}

/**
 * Runs a command to its end.
 * @param argv program and arguments; `programExists` is to be asked first
 * @returns exit code, 130 after ^C
 */
export async function runCommand(argv: readonly string[], process: Process): Promise<number> {
  try {
    return await runProgram(argv, process);
  } catch (error) {
    if (error instanceof Exit) return error.code;
    throw error;
  }
}
