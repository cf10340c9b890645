/** Are the demo's ports free? Asked before anything is started, so that a taken one is a clear sentence and not a half-started demo. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { DemoPorts } from './demo.ts';

/** @returns a line for each port that is taken, then one with the way out; none where all are free */
export async function takenPorts(ports: DemoPorts): Promise<readonly string[]> {
  const taken = await Promise.all(
    Object.entries(ports).map(async ([use, port]: [string, number]) =>
      (await isFree(port)) ? [] : [`Port ${port} (${use}) is already taken.`],
    ),
  );
  const lines = taken.flat();
  if (lines.length === 0) return [];
  return [...lines, `Choose others with: npm run demo -- --port-base ${ports.api + 1000}`];
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}
