/** A lesson's page as a script: its code blocks, each typed into the terminal that it names, with what it is said to answer. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Step {
  readonly terminal: string;
  /** It goes on until something ends it. */
  readonly open: boolean;
  /** The lesson is done before it: what it shows is not among the tasks. */
  readonly further: boolean;
  readonly command: string;
  /** Lines of the page that its output has to have, `…` standing for anything. */
  readonly answers: readonly string[];
}

export function stepsOf(page: string): readonly Step[] {
  const text = readFileSync(join(ROOT, 'docs/training', page), 'utf8');
  const steps: Step[] = [];
  for (const [, info = '', body = ''] of text.matchAll(/^```(\S[^\n]*)\n([\s\S]*?)^```$/gm)) {
    const [language, terminal = '', how] = info.split(' ');
    const last = steps.at(-1);
    if (language === 'sh') {
      steps.push({ terminal, open: how === 'open', further: how === 'further', command: body, answers: [] });
    } else if (language === 'text' && last !== undefined) {
      steps[steps.length - 1] = { ...last, answers: body.split('\n').filter((line) => line !== '') };
    }
  }
  return steps;
}

const spaces = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** As a pattern over one line. */
const patternOf = (line: string): RegExp =>
  new RegExp(
    spaces(line)
      .split('…')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  );

/** @returns the lines of the page that the output does not have */
export function missing({ answers }: Step, output: string): readonly string[] {
  const lines = output.split('\n').map(spaces);
  return answers.filter((answer) => !lines.some((line) => patternOf(answer).test(line)));
}

/** The demo with a lesson, and the learner's terminals before it. */
export class Classroom {
  readonly #directory: string;
  readonly #base: number;
  readonly #open: Shell[] = [];

  constructor(directory: string, base: number) {
    this.#directory = directory;
    this.#base = base;
  }

  /** Types a step's command, with this classroom's folder and ports for the usual ones. */
  type(step: Step): Shell {
    const demo = `exec ${process.execPath} demo/main.ts --dir ${this.#directory} --port-base ${this.#base} `;
    const state = join(this.#directory, `shell-of-${step.terminal}`);
    const command = step.command
      .replaceAll('npm run demo -- ', demo)
      .replaceAll('.portcullis-demo', this.#directory)
      .replaceAll(/localhost:744(\d)/g, (_all, digit: string) => `localhost:${this.#base + Number(digit) - 3}`);
    const script =
      step.terminal === 'lesson'
        ? command
        : `test -f '${state}' && . '${state}'\n${step.open ? '' : `trap "export -p > '${state}'" EXIT\n`}${command}`;
    const shell = new Shell(script, join(this.#directory, 'bin', 'demo-browser'));
    this.#open.push(shell);
    return shell;
  }

  /** The same for what the page says. */
  expected(step: Step): Step {
    const answers = step.answers.map((line) =>
      line.replaceAll(/localhost:744(\d)/g, (_all, digit: string) => `localhost:${this.#base + Number(digit) - 3}`),
    );
    return { ...step, answers };
  }

  /** Ends what was left open. */
  async close(): Promise<void> {
    for (const shell of this.#open) await shell.end('SIGKILL');
  }
}

class Shell {
  readonly ended: Promise<number>;
  readonly #child: ChildProcess;
  readonly #changed = new EventTarget();
  output = '';

  constructor(script: string, browser: string) {
    const child = spawn('bash', ['-c', script], {
      cwd: ROOT,
      env: { ...process.env, BROWSER: browser },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its own group, as at a terminal: Ctrl-C is for all that runs in it.
      detached: true,
    });
    this.#child = child;
    const heard = (text: string): void => {
      this.output += text;
      this.#changed.dispatchEvent(new Event('text'));
    };
    child.stdout.setEncoding('utf8').on('data', heard);
    child.stderr.setEncoding('utf8').on('data', heard);
    this.ended = once(child, 'close').then(([code]) => Number(code ?? -1));
  }

  /** Resolves when its output holds; rejects where it ends before. */
  until(holds: (output: string) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!holds(this.output)) return;
        this.#changed.removeEventListener('text', look);
        resolve();
      };
      this.#changed.addEventListener('text', look);
      void this.ended.then((code) => reject(new Error(`ended with ${code} before: ${this.output}`)));
      look();
    });
  }

  /** Sends a signal to all that runs in it. @returns exit status */
  async end(signal: 'SIGINT' | 'SIGKILL'): Promise<number> {
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined) {
      process.kill(-this.#child.pid, signal);
    }
    return this.ended;
  }
}
