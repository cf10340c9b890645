/** Standard input, as programs read it: in pieces or by lines, one after another from the same place. */
import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** Longest line that is kept together. */
const MAX_LINE_BYTES = 64 * 1024;

export class Input {
  readonly #iterator: AsyncIterator<Buffer> | undefined;
  #rest: Buffer = Buffer.alloc(0);
  /** A read that was given up by an interrupt; its bytes belong to the next reader. */
  #pending: Promise<Buffer> | undefined;

  constructor(source: Readable | undefined) {
    this.#iterator = source?.[Symbol.asyncIterator]();
  }

  /** The next bytes; none at the end, and none where the terminal said end of file. Gives up with none when aborted. */
  async read(signal: AbortSignal): Promise<Buffer> {
    if (this.#rest.length > 0) {
      const rest = this.#rest;
      this.#rest = Buffer.alloc(0);
      return rest;
    }
    this.#pending ??= this.#next();
    const bytes = await orAborted(this.#pending, signal);
    if (bytes === undefined) return Buffer.alloc(0);
    this.#pending = undefined;
    return bytes;
  }

  /** The next line without its end; undefined at the end of input. */
  async line(signal: AbortSignal): Promise<string | undefined> {
    let line = Buffer.alloc(0);
    while (line.length < MAX_LINE_BYTES) {
      const bytes = await this.read(signal);
      const end = bytes.indexOf(0x0a);
      if (end >= 0) {
        this.#rest = bytes.subarray(end + 1);
        return Buffer.concat([line, bytes.subarray(0, end)]).toString('utf8');
      }
      if (bytes.length === 0) break;
      line = Buffer.concat([line, bytes]);
    }
    return line.length === 0 ? undefined : line.toString('utf8');
  }

  async #next(): Promise<Buffer> {
    try {
      const result = await this.#iterator?.next();
      return result === undefined || result.done === true ? Buffer.alloc(0) : result.value;
    } catch {
      // The connection broke: to a program that is the end of its input.
      return Buffer.alloc(0);
    }
  }
}

/** The value, or undefined as soon as the signal aborts. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  const done = new AbortController();
  const aborted = once(signal, 'abort', { signal: done.signal }).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    done.abort();
  }
}
