/** A shell at its own terminal, with a user in front of it who types and reads. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const [ESCAPE, BELL] = ['\u001b', '\u0007'];

/** Escape sequences of a terminal: colours, movements, titles, modes. */
const SEQUENCES = new RegExp(`${ESCAPE}(?:\\[[0-9;?>=]*[A-Za-z]|\\][^${BELL}]*${BELL}|[()][A-Z0-9]|[=>78A-Z])`, 'g');

/** Of util-linux: gives what it runs a terminal. */
const PROGRAM = 'script';

export class ShellTerminal {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #heard = new EventTarget();
  #screen = '';

  /** @param command as for `sh -c` */
  constructor(command: string, environment: NodeJS.ProcessEnv) {
    this.#child = spawn(PROGRAM, ['--quiet', '--command', command, '/dev/null'], {
      env: { ...environment, TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#closed = once(this.#child, 'close');
    // A command that has ended by itself takes nothing more.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#screen += text;
      this.#heard.dispatchEvent(new Event('text'));
    });
  }

  /** What was shown since the last `type`, without escape sequences. */
  get shown(): string {
    return this.#screen.replaceAll(SEQUENCES, '').replaceAll('\r', '');
  }

  type(text: string): void {
    this.#screen = '';
    this.#child.stdin?.write(text);
  }

  /** Resolves with what was shown when it matches. @throws Error with that when it has not within 30 seconds */
  until(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#heard.removeEventListener('text', look);
      };
      const look = (): void => {
        if (!pattern.test(this.shown)) return;
        end();
        resolve(this.shown);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`never showed ${pattern}, but ${JSON.stringify(this.shown)}`));
      }, 30_000);
      this.#heard.addEventListener('text', look);
      look();
    });
  }

  /** Closes the terminal, as a user closes a window or the connection by SSH ends. */
  async hangUp(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  /** Leaves the shell as a user does; one that does not go is ended with its terminal. */
  async close(): Promise<void> {
    this.type('\u0015exit\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#closed;
    clearTimeout(timer);
  }
}
