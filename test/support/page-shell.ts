/** A user's shell: types what a page says, and stops at the first command that fails. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export interface Typed {
  readonly code: number;
  readonly stdout: string;
  /** Standard output and error, in the order of their coming. */
  readonly all: string;
}

export interface Typing {
  /** Resolves when what was written matches; rejects when it ends before. */
  until(pattern: RegExp): Promise<void>;
  /** As Ctrl-C at a terminal: all that runs in the shell gets it. */
  interrupt(): Promise<Typed>;
  /** What was written so far. */
  all(): string;
  readonly ended: Promise<Typed>;
}

export class PageShell {
  readonly #folder: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #open: ChildProcess[] = [];

  /**
   * @param folder where it stands
   * @param environment in addition to that of this process
   */
  constructor(folder: string, environment: NodeJS.ProcessEnv) {
    this.#folder = folder;
    this.#environment = environment;
  }

  /** @throws Error with all that was said where a command of it fails, one before a pipe included */
  async run(text: string): Promise<string> {
    const { code, stdout, all } = await this.try(text);
    if (code !== 0) throw new Error(`exit ${code} of:\n${text}\n${all}`);
    return stdout;
  }

  try(text: string): Promise<Typed> {
    return this.open(text).ended;
  }

  open(text: string): Typing {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: this.#folder,
      env: { ...process.env, ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#open.push(child);
    let [stdout, all] = ['', ''];
    const changed = new EventTarget();
    const heard = (written: string): void => {
      all += written;
      changed.dispatchEvent(new Event('text'));
    };
    child.stdout.setEncoding('utf8').on('data', (written: string) => ((stdout += written), heard(written)));
    child.stderr.setEncoding('utf8').on('data', heard);
    const ended = once(child, 'close').then(([code]) => ({ code: Number(code ?? -1), stdout, all }));
    return {
      ended,
      all: () => all,
      until: (pattern) =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (pattern.test(all)) resolve();
          };
          changed.addEventListener('text', look);
          void ended.then(() => reject(new Error(`ended before ${pattern}: ${all}`)));
          look();
        }),
      interrupt: () => {
        signal(child, 'SIGINT');
        return ended;
      },
    };
  }

  /** Ends what was left open. */
  close(): void {
    for (const child of this.#open) signal(child, 'SIGKILL');
  }
}

/** To the whole group, which is the shell's own. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, name);
}
