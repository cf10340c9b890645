/** Which ports are free? The demo asks before it starts anything, so that a taken one is a clear sentence and not a half-started demo. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
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
  return [
    ...lines,
    `Choose others, and a folder beside the other demo's: npm run demo -- --port-base ${ports.api + 1000} --dir .portcullis-demo-2`,
  ];
}

/** Ports on loopback that nobody listens on at this moment. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
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
