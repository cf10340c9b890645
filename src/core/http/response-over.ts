/** When a response is over, whichever way the end is known. */

interface Emitter {
  once(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
}

interface Connection extends Emitter {
  readonly destroyed: boolean;
}

/** The part of a response of Node that is needed here. */
interface Response extends Emitter {
  readonly closed: boolean;
  readonly req: { readonly socket: Connection };
}

/** What waits on each connection, so that each has one listener however many responses are open on it. */
const waiting = new WeakMap<Connection, Set<() => void>>();

/**
 * Calls the listener once the client has taken all of a response, or has gone; at once where that was before.
 *
 * A client leaves while its response is made, or pipelines requests and then asks for an upgrade or a CONNECT.
 * Node has announced the end by then, or never does: it tells responses that are queued behind another one nothing of
 * the end of their connection. Whatever waits for it stays, and an attacker uses up a limit, or the memory, with it.
 */
export function whenOver(response: Response, listener: () => void): void {
  const { socket } = response.req;
  if (response.closed || socket.destroyed) return listener();
  const listeners = waiting.get(socket) ?? follow(socket);
  const over = (): void => {
    if (!listeners.delete(over)) return;
    response.off('close', over);
    listener();
  };
  listeners.add(over);
  response.once('close', over);
}

function follow(socket: Connection): Set<() => void> {
  const listeners = new Set<() => void>();
  waiting.set(socket, listeners);
  socket.once('close', () => {
    for (const over of listeners) over();
  });
  return listeners;
}
