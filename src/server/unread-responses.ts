/**
 * Answers of the web and ops listeners that their client does not take.
 *
 * An attacker without a credential sends thousands of requests in one packet and reads nothing: each of 27 bytes costs a page of kilobytes, which
 * Node queues for as long as the connection lasts, and no time limit of Node's holds for a connection that has an answer to write. Half a megabyte
 * so sent took half a gigabyte for good. So a connection has few answers that wait, and a finished one that nobody takes ends it.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Answers of one connection that have not closed. Browsers, proxies and scrapers do not pipeline (RFC 9112 §9.3.2): two are in hand at most, where
 * the next request is read before the last bytes of the answer before it are known to be out.
 */
const MOST_OF_A_CONNECTION = 4;
/** How long nothing of a finished answer may be taken. Node counts what the kernel takes as progress. */
const UNTAKEN_MS = 60_000;

/**
 * Puts itself before every request listener that the server has by now. Upgraded connections are not its business.
 * @param untakenMs only tests have another
 */
export function limitUntakenAnswers(server: Server, untakenMs = UNTAKEN_MS): void {
  const open = new WeakMap<Socket, number>();
  const first = (listeners: readonly RequestListener[]): RequestListener => {
    return (req, res) => {
      const { socket } = req;
      const count = open.get(socket) ?? 0;
      // What stands behind it in the same packet comes here as well, and finds the same.
      if (count >= MOST_OF_A_CONNECTION) return void socket.destroy();
      open.set(socket, count + 1);
      res.once('close', () => open.set(socket, (open.get(socket) ?? 1) - 1));
      // Its turn has come, and all of it is handed over.
      res.once('prefinish', () => socket.setTimeout(untakenMs));
      // Before Node's own listener, which begins the time of an idle connection where no request is there yet.
      res.prependOnceListener('finish', () => socket.setTimeout(server.timeout));
      for (const listener of listeners) listener.call(server, req, res);
    };
  };
  const listeners = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request');
  server.on('request', first(listeners));
  // Node would answer these by itself, past the count.
  server.on('checkExpectation', first([expectationFailed]));
}

/** RFC 9110 §10.1.1. */
function expectationFailed(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(417, { 'Content-Length': 0 }).end();
}
