/**
 * One request to an API server and its response, whatever carries them: `http1-pool.ts` or `http2-transport.ts`.
 *
 * The handler is told of one end, once: `onEnd` or `onError`. After `abort` it is told of nothing.
 */
import type { Duplex } from 'node:stream';
import { byHeaders } from '../../core/http/by-headers.ts';
import { isFieldValue, isToken } from '../../core/http/header-names.ts';
import type { RawHeaders } from '../../core/http/header-names.ts';
import type { UpstreamHeaders } from '../../core/http/upstream-headers.ts';
import type { Slab } from './slab.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Without `Host` and without what frames a body. */
  readonly headers: UpstreamHeaders;
  /**
   * It changes nothing, and may share a connection with others. Absent: a cut must be able
   * to reset all that carries it.
   */
  readonly isRead?: boolean;
  /** It asks for another protocol (RFC 9110 §7.8). HTTP/1.1 only, and only on a connection that serves nothing else. */
  readonly isUpgrade?: boolean;
  /** Pulled piece by piece; the first one should be there, because the connection waits for it. Undefined: the request has no body. */
  readonly body: AsyncIterable<Buffer> | undefined;
  /** Bytes of the body. Undefined: not known before its end. */
  readonly bodyLength: number | undefined;
  /** From the request to the head of its response. Milliseconds; 0: no limit. */
  readonly headMs: number;
  /** Between two pieces of the response. Milliseconds; 0: no limit. */
  readonly pieceMs: number;
  /** Whose share of the connections, and of the turns in which they are read, it uses. Absent: no account's; the proxy sends it for itself. */
  readonly account?: string;
  /** Absent: it gives its connection up to no one. */
  readonly client?: RequestClient;
}

/** The client of a request, of which others ask whether they wait for it alone. */
export interface RequestClient {
  /**
   * @param nowMs monotonic
   * @returns milliseconds by which it keeps its request waiting (`client-delay.ts`); 0: it goes on
   */
  lateMs(nowMs: number): number;
  /** Ends the request, so that others can have its connection's place. Synchronous. */
  giveWay(): void;
}

/**
 * Interim responses (1xx) before the response. A pod behind `…/proxy` sends them without end: each is read again with
 * what comes behind it, and 64 kB of them took 10 ms.
 */
export const MOST_INTERIM = 50;

const TARGET = /^\/[!-~\u0080-\u00ff]*$/;

/**
 * False if any part of the head could end it early, or begin another request: an attacker's CR LF must stop here,
 * whatever checks came before.
 */
export function isWritable({ method, target, headers: { repeated, own } }: UpstreamRequest): boolean {
  return (
    isToken(method) && TARGET.test(target) && repeated.every((list) => isRepeatedWritable(list)) && isListWritable(own)
  );
}

function isListWritable(list: RawHeaders): boolean {
  for (let index = 0; index + 1 < list.length; index += 2) {
    if (!isToken(list[index] ?? '') || !isFieldValue(list[index + 1] ?? '')) return false;
  }
  return true;
}

const isRepeatedWritable = byHeaders(isListWritable);

/** A request under way. */
export interface UpstreamStream {
  /** Asks for no more pieces. Some that have been read already may still come. */
  pause(): void;
  resume(): void;
  /**
   * Resets what carries the request, or takes the request back if nothing has been sent. Synchronous: no event of the
   * request follows.
   */
  abort(): void;
  /** True once what carried the request is lost, whether or not an event has said so. */
  readonly gone: boolean;
  /** `pause` was the last that was asked for. */
  readonly paused: boolean;
  /** Its connection by its ends (`listener/system-buffers.ts`). Absent: it has none, or shares it with others. */
  readonly endpoints?: string | undefined;
}

export interface UpstreamHandler {
  /**
   * Called in the tick in which the head, or a piece of the body, is sent: the wait for it may have been long.
   * @returns false: it is not sent, and no event follows
   */
  maySend(): boolean;
  /** @param raw name, value, … one character a byte; never of an interim response (1xx) */
  onHead(status: number, raw: readonly string[]): void;
  /**
   * Called in place of `onHead`, for an upgrade that is made. From here on every byte of the API server's is a piece, and
   * neither `onEnd` nor `onError` follows: the end is the socket's.
   * @param socket takes the client's bytes; nothing can be read from it
   */
  onUpgrade?(raw: readonly string[], socket: Duplex): void;
  /**
   * @param slab the memory that the piece lies in, which is used again after this call unless it is held; undefined:
   *   the piece is the handler's own
   */
  onPiece(piece: Buffer, slab: Slab | undefined): void;
  onEnd(): void;
  onError(error: Error): void;
}

/** Sends requests to one API server. */
export interface UpstreamTransport {
  /** Where a connection is free, `maySend` is called from within. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream;
  /** Ends every connection and every request. */
  close(): void;
}
