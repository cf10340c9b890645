/**
 * Stops reading HTTP/1.1 where a client pipelines more requests than it may.
 *
 * An attacker without a credential pipelines thousands of requests. Node reads all that has arrived before anything
 * else runs, and makes a request and a response of each: 5 MB took a second and a half and half a gigabyte, so the
 * lease lapsed, and the fence that follows cuts the streams of every user. A connection that is paused or destroyed is
 * still read to the end of the piece. Only behind an upgrade does Node's parser stop in the middle of one, because the
 * rest is another protocol. So the first request that is too many is taken for an upgrade: Node makes no response for
 * it, reads nothing behind it, and `upgrade` or `connect` is emitted, where the connection is ended.
 */
import { IncomingMessage } from 'node:http';
import type { ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/**
 * Calls `note` for each piece of a request's body that Node has parsed, whether anyone reads the body or not. A client
 * sends a body in pieces of one byte, and Node makes an object of each before anything else runs. Of the request
 * itself, because Express gives it another class.
 */
export function noteEachPiece(body: Readable, note: (isEnd: boolean) => void): void {
  const push = body.push.bind(body);
  body.push = (piece: unknown, encoding?: BufferEncoding) => {
    note(piece === null);
    return push(piece, encoding);
  };
}

/**
 * @param isFull true if another request of the connection is one too many
 * @returns options of a server, whose listeners for `upgrade` and `connect` have to end such a connection; without a
 *   listener Node ends it
 */
export function limitPipelining(isFull: (socket: Socket) => boolean): ServerOptions {
  class Message extends IncomingMessage {
    declare isTooMany: boolean;
    declare isUpgrade: boolean | null;

    /** What Node's parser has found; it is set once the head is read. */
    set upgrade(found: boolean | null) {
      this.isTooMany ||= found !== null && isFull(this.socket);
      this.isUpgrade = found;
    }

    get upgrade(): boolean {
      return this.isTooMany || this.isUpgrade === true;
    }
  }
  return {
    IncomingMessage: Message,
    shouldUpgradeCallback(this: { listenerCount(event: string): number }, req) {
      return (req as Message).isTooMany || this.listenerCount('upgrade') > 0;
    },
  };
}
