/**
 * The body of a request while it arrives, as one piece of memory.
 *
 * An attacker sends a body in pieces of one byte. As they come, each is an object of a hundred bytes, and a view of the
 * 64 kB that were read from the socket with it, so 32 kB of body would hold megabytes. So the bytes are copied.
 */
export class PendingBody {
  readonly #most: number;
  #memory = Buffer.alloc(0);
  #bytes = 0;

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns false if it is too large */
  add(piece: Buffer): boolean {
    const bytes = this.#bytes + piece.length;
    if (bytes > this.#most) return false;
    if (bytes > this.#memory.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#most, Math.max(bytes, 2 * this.#memory.length)));
      this.#memory.copy(larger, 0, 0, this.#bytes);
      this.#memory = larger;
    }
    piece.copy(this.#memory, this.#bytes);
    this.#bytes = bytes;
    return true;
  }

  get whole(): Buffer {
    return this.#memory.subarray(0, this.#bytes);
  }
}

/** A request of Node's HTTP/1.1 server, as far as its body is concerned. */
export interface ArrivingRequest {
  readonly complete: boolean;
  readonly readableLength: number;
  read(): unknown;
  unshift(chunk: Buffer): void;
  on(event: 'readable', listener: () => void): unknown;
  off(event: 'readable', listener: () => void): unknown;
}

/**
 * Waits for the body of a request over HTTP/1.1, and puts it back, so that the request can be read as if it had just
 * come. Nothing else may have read of it.
 * @param most bytes that it may have
 * @param done called once: with the body when all of it has arrived, with undefined as soon as it is larger. Not called
 *   if the client breaks it off
 */
export function whenWhole(req: ArrivingRequest, most: number, done: (body: Buffer | undefined) => void): void {
  const body = new PendingBody(most);
  const onReadable = (): void => {
    const piece = req.readableLength > 0 ? req.read() : null;
    const fits = !(piece instanceof Buffer) || body.add(piece);
    if (fits && !req.complete) return;
    req.off('readable', onReadable);
    const { whole } = body;
    // The request ends in a later tick, and only if it is empty then, so there is still time to put it back.
    if (fits && whole.length > 0) req.unshift(whole);
    done(fits ? whole : undefined);
  };
  req.on('readable', onReadable);
}
