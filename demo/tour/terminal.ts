/** The tour's terminals: one for each user, with a cache of its own, running the commands that a user would type. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DemoFiles } from '../files.ts';
import { ClaimFailed } from './story.ts';

const BROWSER = fileURLToPath(new URL('../headless-browser.ts', import.meta.url));
/** No single command of the tour takes longer, unless something is wrong. */
const COMMAND_TIMEOUT_MS = 30_000;

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that goes on until it is cut. */
export interface Running {
  /** Resolves when its output matches; rejects with ClaimFailed when it ends or is silent too long. */
  waitFor(pattern: RegExp): Promise<void>;
  /** Milliseconds since the epoch at the moment it ended, with its exit code. */
  readonly ended: Promise<{ readonly at: number; readonly code: number; readonly output: string }>;
  /** What it has written so far. */
  output(): string;
  kill(): void;
}

export class Terminal {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #command: string;
  readonly #browserLog: string;

  constructor(files: DemoFiles, user: string, options: { readonly browser: boolean } = { browser: true }) {
    this.#command = files.command;
    this.#browserLog = join(files.directory, `browser-${user}.log`);
    this.#environment = {
      ...process.env,
      KUBECONFIG: files.kubeconfig,
      PORTCULLIS_CACHE_DIR: join(files.directory, 'cache', user),
      PORTCULLIS_CREDENTIAL_STORE: 'file',
      PORTCULLIS_DEMO_USER: user,
      PORTCULLIS_DEMO_BROWSER_LOG: this.#browserLog,
      BROWSER,
      ...(options.browser ? {} : { PORTCULLIS_NO_BROWSER: '1' }),
    };
  }

  kubectl(...args: string[]): Promise<Finished> {
    return this.#run('kubectl', args);
  }

  portcullis(...args: string[]): Promise<Finished> {
    return this.#run(this.#command, args);
  }

  /** `portcullis login`. The browser's output comes after the command's own. */
  async login(server: string): Promise<Finished> {
    await rm(this.#browserLog, { force: true });
    const finished = await this.portcullis('login', '--server', server);
    const browser = await readFile(this.#browserLog, 'utf8').catch(() => '');
    return { ...finished, stderr: finished.stderr + browser };
  }

  openKubectl(...args: string[]): Running {
    return follow(spawn('kubectl', args, { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  async #run(program: string, args: readonly string[]): Promise<Finished> {
    const child = spawn(program, args, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code: code ?? 1, stdout, stderr };
  }
}

function follow(child: ChildProcess): Running {
  let output = '';
  const changed = new EventTarget();
  const add = (text: string): void => {
    output += text;
    changed.dispatchEvent(new Event('text'));
  };
  child.stdout?.setEncoding('utf8').on('data', add);
  child.stderr?.setEncoding('utf8').on('data', add);
  // Not `exit`: what it wrote last may be unread then.
  const ended = once(child, 'close').then(([code]) => ({ at: Date.now(), code: Number(code ?? 1), output }));
  return {
    ended,
    output: () => output,
    kill: () => child.kill('SIGKILL'),
    waitFor: (pattern) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new ClaimFailed(`nothing like ${pattern} within ${COMMAND_TIMEOUT_MS} ms; so far: ${output}`)),
          COMMAND_TIMEOUT_MS,
        );
        const look = (): void => {
          if (!pattern.test(output)) return;
          clearTimeout(timer);
          changed.removeEventListener('text', look);
          resolve();
        };
        changed.addEventListener('text', look);
        void ended
          .finally(() => clearTimeout(timer))
          .then(({ code }) => reject(new ClaimFailed(`a command ended with ${code} before ${pattern}: ${output}`)));
        look();
      }),
  };
}
