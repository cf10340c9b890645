/** Runs a command until it ends, as a shell would: with this terminal, its signals and its exit code. */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { plainText } from '../terminal/plain-text.ts';
import { codeOf } from '../session/private-files.ts';

/** What others send to a program that it can pass on. A stop (Ctrl-Z) reaches the whole group by itself. */
const SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32'
    ? ['SIGINT', 'SIGBREAK', 'SIGHUP']
    : ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];

/** A terminal sends these to the command itself too. Twice is not the same as once: many programs end at the second. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGBREAK']);

const WHY_NOT: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; is it a program that you may execute?',
  E2BIG: 'its arguments and environment are too long',
};

/** Signals that arrive while it is open are for the command, and end nothing here. */
export class SignalRelay {
  readonly #atTerminal: boolean;
  #command: ChildProcess | undefined;
  /** The first that arrived before there was a command. */
  #early: NodeJS.Signals | undefined;

  /** @param atTerminal whether this program has a terminal, which it shares with the command */
  constructor(atTerminal: boolean) {
    this.#atTerminal = atTerminal;
    for (const signal of SIGNALS) process.on(signal, this.#pass);
  }

  readonly #pass = (signal: NodeJS.Signals): void => {
    if (this.#command === undefined) this.#early ??= signal;
    else if (!this.#atTerminal || !FROM_TERMINAL.has(signal)) this.#command.kill(signal);
  };

  /**
   * Runs the command.
   * @returns its exit code, 128 and the number of the signal that ended it, or as a shell 127 and 126 where it cannot
   *   be started
   */
  run(
    [file = '', ...args]: readonly string[],
    env: NodeJS.ProcessEnv,
    onError: (message: string) => void,
  ): Promise<number> {
    if (this.#early !== undefined) return Promise.resolve(codeOfSignal(this.#early));
    return new Promise((resolve) => {
      const command = spawn(file, args, { stdio: 'inherit', env });
      this.#command = command;
      command.once('error', (error) => {
        if (command.pid !== undefined) return; // A signal could not be sent to it.
        const missing = codeOf(error) === 'ENOENT';
        const why = missing ? 'there is no such program, or not in PATH' : WHY_NOT[codeOf(error) ?? ''];
        onError(`${plainText(file, 300)} cannot be started: ${why ?? codeOf(error) ?? 'unknown error'}`);
        resolve(missing ? 127 : 126);
      });
      command.once('exit', (code, signal) => resolve(code ?? codeOfSignal(signal ?? 'SIGKILL')));
    });
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#pass);
  }
}

const codeOfSignal = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];
