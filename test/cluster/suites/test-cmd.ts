/** Kubernetes' own kubectl suite: the functions of test/cmd in its sources, one after another against one stage. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './comparison.ts';
import type { SuiteStage } from './stage.ts';

const DRIVER = fileURLToPath(new URL('test-cmd.sh', import.meta.url));

/** What the suite does between its functions: its first and last steps, and the commands about `auth`. It passes where the suite came to its end. */
export const BETWEEN = 'between functions';

/**
 * @param pattern a regular expression of bash, which chooses functions by name
 * @returns by function, whether it passed
 */
export async function runTestCmd(source: string, stage: SuiteStage, pattern = '.'): Promise<Outcome> {
  await mkdir(join(stage.folder, 'results'), { recursive: true });
  const child = spawn('bash', [DRIVER, source, stage.folder, pattern], {
    env: { ...stage.environment, SECURE_API_PORT: String(stage.port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(join(stage.folder, 'results', 'between functions.log'), { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const [code] = (await once(child, 'close')) as [number | null];
  log.end();
  const lines = (await readFile(join(stage.folder, 'results.txt'), 'utf8').catch(() => '')).trim().split('\n');
  const functions = lines.filter((line) => line !== '').map((line) => line.split(' '));
  return new Map([...functions.map(([name = '', status]) => [name, status === '0'] as const), [BETWEEN, code === 0]]);
}
