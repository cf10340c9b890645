/** Which addresses of this machine a port is open at. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Returns those that a socket of all interfaces would be open at, and where this port is; on Linux, 127.0.0.2 is one. */
export async function openAddresses(port: number): Promise<readonly string[]> {
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const hosts = own.filter(({ scopeid }) => !scopeid).map(({ address }) => address);
  const all = [...new Set(['127.0.0.1', ...hosts, ...(process.platform === 'linux' ? ['127.0.0.2'] : [])])];
  const open = await Promise.all(all.map((host) => isOpen(host, port)));
  return all.filter((_host, index) => open[index]);
}

/** @returns whether a connection to the port is accepted */
export async function isOpen(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
