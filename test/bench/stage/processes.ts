/** Processes that the bench starts and ends, by their id and never by a name, and what the kernel reports of them. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Whatever ends the bench, its processes end with it. */
const living = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const START_MS = 60_000;
const END_MS = 15_000;

export interface Started {
  readonly pid: number;
  /** Sends SIGTERM, and SIGKILL to a process that does not end. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts a program and waits until `ready` returns true.
 * @param environment all that it gets in addition to PATH
 * @throws with the output of the program, when it ends before that or takes too long
 */
export async function start(
  command: string,
  args: readonly string[],
  ready: () => Promise<boolean>,
  environment: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const env = { PATH: process.env['PATH'] ?? '', ...environment };
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  living.add(child);
  child.once('exit', () => living.delete(child));
  let said = '';
  child.on('error', (error) => (said += String(error)));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  const deadline = performance.now() + START_MS;
  while (!(await ready())) {
    if (child.pid === undefined || child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${command} did not start: ${said}`);
    }
    await pause(50);
  }
  return { pid: child.pid ?? 0, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await ended;
  clearTimeout(patience);
}

/** Resident memory in megabytes (10^6 bytes). */
export async function residentMegabytes(pid: number): Promise<number> {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}

/** Heap and array buffers of this process after a collection, in megabytes (10^6 bytes). */
export function usedMegabytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1e6;
}

/** Samples the resident memory until `work` is done. @returns its result, with the highest and the last figure */
export async function watchMemory<T>(pid: number, work: Promise<T>) {
  const over = new AbortController();
  let peak = await residentMegabytes(pid);
  const samples: number[] = [peak];
  const look = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const sample = await residentMegabytes(pid);
      samples.push(sample);
      peak = Math.max(peak, sample);
      await pause(50);
    }
  };
  const looking = look();
  try {
    return { value: await work, before: samples[0] ?? peak, peak, samples };
  } finally {
    over.abort();
    await looking;
  }
}
