/** A wire between a replica and Redis that can be held up, let go and led elsewhere. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Link extends AsyncDisposable {
  readonly url: string;
  /** Nothing passes either way from now on; connections stay open, as when a network drops packets. */
  hold(): void;
  /** What was held passes, in order. */
  release(): void;
  /** New connections lead to another port; those that are open are reset. */
  leadTo(port: number): void;
}

/** @param port of the redis-server behind it */
export async function createLink(port: number): Promise<Link> {
  let target = port;
  let held = false;
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    if (held) socket.pause();
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  };
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: target });
    track(near);
    track(far);
    near.on('data', (chunk) => far.write(chunk));
    far.on('data', (chunk) => near.write(chunk));
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
    // Attaching `data` has set both flowing.
    if (held) for (const socket of [near, far]) socket.pause();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const all = (act: (socket: Socket) => void): void => {
    for (const socket of sockets) act(socket);
  };
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      held = true;
      all((socket) => socket.pause());
    },
    release() {
      held = false;
      all((socket) => socket.resume());
    },
    leadTo(other) {
      target = other;
      all((socket) => socket.resetAndDestroy());
    },
    async [Symbol.asyncDispose]() {
      all((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}
