/** The whole program from its sources, in a process of its own. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bareEnvironment } from './bare-environment.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Begun {
  /** Its standard input is open until the test ends it. */
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
}

export interface ProgramOptions {
  /** In addition to what every program needs. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Options of Node. */
  readonly node?: readonly string[];
}

export function startProgram(args: readonly string[], { env = {}, node = [], ...options }: ProgramOptions = {}): Begun {
  const child = spawn(process.execPath, [...node, MAIN, ...args], {
    ...options,
    env: { ...bareEnvironment(), ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** The same with nothing at its standard input, until it ends. */
export function runProgram(args: readonly string[], options?: ProgramOptions): Promise<Ended> {
  const { child, ended } = startProgram(args, options);
  child.stdin.end();
  return ended;
}
