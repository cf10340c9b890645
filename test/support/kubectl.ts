/** The real kubectl and the real portcullis command, as a developer runs them, for one user of a server. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunningDemo } from '../../demo/launch.ts';

const HEADLESS_BROWSER = fileURLToPath(new URL('../../demo/headless-browser.ts', import.meta.url));

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, for messages of failed expectations. */
  readonly all: string;
}

export interface Open {
  readonly child: ChildProcess;
  /** What it has written so far. */
  output(): string;
  /** Resolves when it matches; rejects when the process ends before. */
  until(pattern: RegExp): Promise<void>;
  readonly finished: Promise<Finished>;
}

export class CliContext {
  readonly environment: NodeJS.ProcessEnv;
  readonly #command: string;
  readonly #kubectl: string;
  readonly #open: ChildProcess[] = [];

  /**
   * @param user of the demo whose machine it is
   * @param extra environment in addition to the usual, such as another `BROWSER`
   * @param kubectl which one; that of the system otherwise
   */
  constructor(instance: RunningDemo, user: string, extra: NodeJS.ProcessEnv = {}, kubectl = 'kubectl') {
    this.#command = instance.files.command;
    this.#kubectl = kubectl;
    this.environment = {
      ...process.env,
      KUBECONFIG: instance.files.kubeconfig,
      KUBECACHEDIR: join(instance.files.directory, 'discovery'),
      PORTCULLIS_CACHE_DIR: join(instance.files.directory, `cache-of-${user}`),
      PORTCULLIS_DEMO_USER: user,
      BROWSER: HEADLESS_BROWSER,
      ...extra,
    };
  }

  kubectl(...args: string[]): Promise<Finished> {
    return this.openKubectl(...args).finished;
  }

  /** With text on standard input. */
  kubectlWith(input: string, ...args: string[]): Promise<Finished> {
    return this.open(this.#kubectl, args, input).finished;
  }

  /** One that goes on until it is killed. */
  openKubectl(...args: string[]): Open {
    return this.open(this.#kubectl, args);
  }

  /** kubectl at its own terminal, with a user in front of it: what is written to `child.stdin` is typed. */
  kubectlAtTerminal(...args: string[]): Open {
    const command = [this.#kubectl, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    return this.#start('script', ['--quiet', '--return', '--command', command, '/dev/null']);
  }

  portcullis(...args: string[]): Promise<Finished> {
    return this.openPortcullis(...args).finished;
  }

  /** One that goes on until it is ended. */
  openPortcullis(...args: string[]): Open {
    return this.open(this.#command, args);
  }

  /** A program with this user's environment; its standard input ends after `input`. */
  open(program: string, args: readonly string[], input = ''): Open {
    const open = this.#start(program, args);
    open.child.stdin?.end(input);
    return open;
  }

  #start(program: string, args: readonly string[]): Open {
    const child = spawn(program, args, { env: this.environment, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#open.push(child);
    child.stdin.on('error', () => {});
    let stdout = '';
    let stderr = '';
    const changed = new EventTarget();
    const heard = (): boolean => changed.dispatchEvent(new Event('text'));
    child.stdout.setEncoding('utf8').on('data', (text: string) => ((stdout += text), heard()));
    child.stderr.setEncoding('utf8').on('data', (text: string) => ((stderr += text), heard()));
    const finished = once(child, 'close').then(([code]) => {
      const status = Number(code ?? 1);
      return { code: status, stdout, stderr, all: `exit ${status}\n${stdout}${stderr}` };
    });
    return {
      child,
      finished,
      output: () => stdout + stderr,
      until: (pattern) =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (!pattern.test(stdout + stderr)) return;
            changed.removeEventListener('text', look);
            resolve();
          };
          changed.addEventListener('text', look);
          void finished.then(({ all }) => reject(new Error(`ended before ${pattern}: ${all}`)));
          look();
        }),
    };
  }

  /** Ends what was left open. */
  close(): void {
    for (const child of this.#open) child.kill('SIGKILL');
  }
}
