/** Which ports are free? The demo asks before it starts anything, so that a taken one is a clear sentence and not a half-started demo. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { DemoPorts } from './demo.ts';

const FIRST_PORT = 10_240;
const OUTGOING_FROM = 32_768;

/** @returns a line for each port that is taken, then one with the way out; none where all are free */
export async function takenPorts(ports: DemoPorts): Promise<readonly string[]> {
  const taken = await Promise.all(
    Object.entries(ports).map(async ([use, port]: [string, number]) =>
      (await isFree(port)) ? [] : [`Port ${port} (${use}) is already taken.`],
    ),
  );
  const lines = taken.flat();
  if (lines.length === 0) return [];
  return [
    ...lines,
    `Choose others, and a folder beside the other demo's: npm run demo -- --port-base ${ports.api + 1000} --dir .portcullis-demo-2`,
  ];
}

/**
 * Ports on loopback that no process listens on at the moment. Below those that systems give to outgoing connections (Linux from 32768, others from
 * 49152): until it is listened on, one of those may be taken by any connection.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(FIRST_PORT, OUTGOING_FROM);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** One of `freePorts`. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
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
