/** The programs that every container of this cluster has. */
import { setTimeout as delay } from 'node:timers/promises';

import { INTERRUPTED } from './process.ts';
import type { Process } from './process.ts';
import { tar } from './tar.ts';

/** @returns exit code */
export type Program = (args: readonly string[], process: Process, signal: AbortSignal) => Promise<number>;

const MAX_SLEEP_SECONDS = 86_400;

const say =
  (text: (process: Process) => string): Program =>
  async (_args, process) => {
    await process.out(`${text(process)}\n`);
    return 0;
  };

const echo: Program = async (args, process) => {
  const silent = args[0] === '-n';
  await process.out(args.slice(silent ? 1 : 0).join(' ') + (silent ? '' : '\n'));
  return 0;
};

const cat: Program = async (args, process, signal) => {
  let code = 0;
  for (const file of args.filter((arg) => arg !== '-')) {
    const bytes = process.files.read(file);
    if (bytes === undefined) {
      await process.err(`cat: can't open '${file}': No such file or directory\n`);
      code = 1;
    } else await process.out(bytes);
  }
  if (args.length > 0 && !args.includes('-')) return code;
  for (;;) {
    const bytes = await process.input.read(signal);
    if (signal.aborted) return INTERRUPTED;
    if (bytes.length === 0) return code;
    await process.out(bytes);
  }
};

const ls: Program = async (args, process) => {
  const [path = '/'] = args.filter((arg) => !arg.startsWith('-'));
  if (process.files.isDirectory(path)) {
    const names = process.files.list(path);
    await process.out(names.length === 0 ? '' : `${names.join('\n')}\n`);
    return 0;
  }
  if (process.files.exists(path)) {
    await process.out(`${path}\n`);
    return 0;
  }
  await process.err(`ls: ${path}: No such file or directory\n`);
  return 1;
};

/** Only what is asked about files: `kubectl cp` asks with `-d`. */
const test: Program = async ([operator, path = ''], { files }) => {
  const holds =
    (operator === '-e' && files.exists(path)) ||
    (operator === '-d' && files.isDirectory(path)) ||
    (operator === '-f' && files.read(path) !== undefined);
  return holds ? 0 : 1;
};

const env: Program = async (_args, process) => {
  for (const [name, value] of process.env) await process.out(`${name}=${value}\n`);
  return 0;
};

const sleep: Program = async (args, process, signal) => {
  const seconds = Number(args[0]);
  if (args[0] === undefined || !(seconds >= 0)) {
    await process.err(`sleep: invalid number '${args[0] ?? ''}'\n`);
    return 1;
  }
  try {
    await delay(Math.min(seconds, MAX_SLEEP_SECONDS) * 1000, undefined, { signal });
    return 0;
  } catch {
    return INTERRUPTED;
  }
};

const date: Program = async (_args, process) => {
  await process.out(`${process.now().toUTCString().replace('GMT', 'UTC')}\n`);
  return 0;
};

const seq: Program = async (args, process, signal) => {
  const last = Math.min(Number(args[0] ?? 0), 100_000);
  for (let value = 1; value <= last && !signal.aborted; value += 1) await process.out(`${value}\n`);
  return 0;
};

export const PROGRAMS: Readonly<Record<string, Program>> = {
  cat,
  date,
  echo,
  env,
  printenv: env,
  hostname: say((process) => process.hostname),
  id: say(() => 'uid=0(root) gid=0(root) groups=0(root)'),
  ls,
  pwd: say(() => '/'),
  seq,
  sleep,
  tar,
  test,
  uname: say(() => 'Linux'),
  whoami: say(() => 'root'),
  true: async () => 0,
  false: async () => 1,
};
