/** The server process as the image runs it: the same command, and the same allocator (decision 0015). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './processes.ts';
import type { Started } from './processes.ts';

const OWN = fileURLToPath(new URL('../../../', import.meta.url));
/** As in the Dockerfile. The loader finds it by its name on every architecture, and only warns where it is missing. */
export const ALLOCATOR = 'libjemalloc.so.2';

export interface InstanceProcess {
  readonly config: string;
  /** The checkout whose server it is. Absent: this one. */
  readonly checkout?: string | undefined;
  /** For Node itself, before the program. */
  readonly flags?: readonly string[];
  readonly ready: () => Promise<boolean>;
}

/** @throws where it does not start, or runs without the image's allocator: its figures would be about another program */
export async function startInstanceProcess(options: InstanceProcess): Promise<Started> {
  const { config, checkout = OWN, flags = [], ready } = options;
  const args = [...flags, join(checkout, 'src/main.ts'), 'serve', '--config', config];
  const started = await start(process.execPath, args, ready, { LD_PRELOAD: ALLOCATOR });
  const maps = await readFile(`/proc/${started.pid}/maps`, 'utf8');
  if (maps.includes(ALLOCATOR)) return started;
  await started.stop();
  throw new Error(`the server runs without ${ALLOCATOR}: on Debian, apt-get install libjemalloc2`);
}
