/** Are the demo's ports free? Asked before anything is started, so that a taken one is a clear sentence and not a half-started demo. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { DemoPorts } from './demo.ts';

/**
 * @returns one sentence for each port that is taken, naming it, what it is for, and the option that moves it
 */
export async function takenPorts(ports: DemoPorts): Promise<readonly string[]> {
  const found = await Promise.all(
    Object.entries(ports).map(async ([use, port]: [string, number]) =>
      (await isFree(port))
        ? []
        : [
            `Port ${port} (${use}) is already taken. Choose other ports with: npm run demo -- --port-base ${port + 1000}`,
          ],
    ),
  );
  return found.flat();
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
