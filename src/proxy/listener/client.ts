/**
 * The client's side of one request, the same for both versions of HTTP: the request, and its response.
 *
 * It is the only seam between the versions. Admission, forwarding, the cut and the audit know these two interfaces
 * and none of Node's classes, so that no rule can hold for one version and be forgotten for the other. Upgrades
 * exist in HTTP/1.1 alone and stay outside.
 */

export interface ClientRequest {
  readonly method: string;
  /** Request target as the client sent it. */
  readonly target: string;
  /** Name, value, name, value, … one character a byte. HTTP/2's `:authority` is in it as `host`. */
  readonly raw: readonly string[];
  /** The head announces a body. */
  readonly hasBody: boolean;
  /** All of the body has arrived. */
  readonly complete: boolean;
  /** The rest of the body would be read as the next request, so the connection must end with the response. */
  readonly leftover: boolean;
  /** RFC 9110 §10.1.1. */
  readonly expectsContinue: boolean;
  /**
   * The body, pulled: nothing is read before it is asked for. Throws if the body was broken off, so that half of it
   * never looks whole.
   */
  pieces(): AsyncIterable<Buffer>;
  /**
   * Reads the body without waiting for anyone to ask for it. Nothing else may have read of it.
   * @param most bytes that it may have
   * @param done called once: with the body when all of it has arrived, with undefined as soon as it is larger. Not
   *   called if the client breaks it off; the response closes then
   */
  whenWhole(most: number, done: (body: Buffer | undefined) => void): void;
}

export interface ClientResponse {
  /** The head has been written. */
  readonly started: boolean;
  /** The client is not there any more. */
  readonly gone: boolean;
  /** The response has started, has not ended, and nothing of it is held back: a write now leaves now. */
  readonly idle: boolean;
  /** Nothing more is to be written. */
  readonly finished: boolean;
  /** Bytes that have been written and that the client has not read. */
  readonly waiting: number;
  writeContinue(): void;
  /**
   * @param headers flat list; `Connection: close` means, over HTTP/2, that the connection takes no further requests
   * @param options early: to be sent before the first piece of the body is there
   */
  start(status: number, headers: readonly string[], options: { readonly early: boolean }): void;
  /**
   * @param written called once the chunk's memory is no longer needed; not called for what is never written
   * @returns false if the next piece should wait for `onDrain`
   */
  write(chunk: Buffer, written?: () => void): boolean;
  /** Writes a termination notice before `reset`, which would otherwise overtake it. */
  writeNow(chunk: Buffer): void;
  /** Once. */
  onDrain(listener: () => void): void;
  /** Ends the response: it is whole. */
  end(body?: Buffer): void;
  /** Ends a request of which nothing was done, without a response, so that its client may send it again. */
  refuse(): void;
  /**
   * RST of the connection, or of the stream: the part that has gone does not look whole. What HTTP/2 has handed to the
   * connection still goes out.
   */
  reset(): void;
  /** The same for a cut: nothing that is queued goes out. Where HTTP/2 has handed it to the connection, that is reset. */
  cut(): void;
  /** Drops what is queued for a client that is gone. `onClose` is called then. */
  discard(): void;
  /** Once, when nothing more is to be written, however much of it the client has read. */
  onFinished(listener: () => void): void;
  /** Once, however it ended; at once where it has ended. */
  onClose(listener: () => void): void;
  /** Calls back when nothing of a response that has closed lies in this process any more: at once if that is so. */
  whenSent(listener: () => void): void;
}

export interface Client {
  readonly request: ClientRequest;
  readonly response: ClientResponse;
}

/**
 * Memory that an unwritten chunk lies in is left to the collector: who knows what still reads it. A stream that is
 * destroyed reports no error where there was none to report, and has written nothing all the same.
 */
export const ifWritten = (
  to: { readonly destroyed: boolean },
  written: (() => void) | undefined,
): ((error?: Error | null) => void) | undefined =>
  written &&
  ((error) => {
    if (!error && !to.destroyed) written();
  });
