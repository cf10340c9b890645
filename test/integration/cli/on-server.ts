/** `revoke`, `lock` and `unlock` as they are typed on the server's own shell. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import type { RunningDemo } from '../../../demo/launch.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const inTurn = fileURLToPath(new URL('./in-turn.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of a Node whose clock goes so fast that the ten seconds of a command are soon over. */
export const HURRIED = [
  '--import',
  'data:text/javascript,const now = performance.now.bind(performance); performance.now = () => 20 * now()',
];

export const portcullis = (...args: readonly string[]): Promise<Ended> => begin([], ...args).ended;

/** Runs several in one process, because to load the server's modules takes most of the time of each. */
export async function portcullisInTurn(lines: readonly (readonly string[])[]): Promise<readonly Ended[]> {
  const { code, stdout, stderr } = await run([inTurn, JSON.stringify(lines)]).ended;
  if (code !== 0) throw new Error(`exit ${code}: ${stderr}`);
  return JSON.parse(stdout) as readonly Ended[];
}

interface Begun {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** @param options of Node */
export const begin = (options: readonly string[], ...args: readonly string[]): Begun =>
  run([...options, main, ...args]);

/** @param args of Node */
function run(args: readonly string[]): Begun {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** @returns the events of this name in the audit log of the server, which the commands write to as well */
export async function audited({ files }: RunningDemo, name: string): Promise<readonly AuditEvent[]> {
  const lines = (await readFile(files.auditLog, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as AuditEvent).filter(({ verb }) => verb === name);
}

/** Writes the configuration of the server with other settings. @returns the file */
export async function configWith({ files }: RunningDemo, settings: object): Promise<string> {
  const config = parse(await readFile(files.config, 'utf8')) as object;
  const path = join(files.directory, 'other-settings.yaml');
  await writeFile(path, stringify({ ...config, ...settings }));
  return path;
}
