/**
 * The server's end of a SPDY/3.1 connection, over any duplex: a raw socket, or a WebSocket that carries SPDY.
 *
 * No flow control by windows: the clients that speak to Kubernetes neither announce nor honour them. While a reader is behind,
 * the whole connection is paused instead.
 */
import type { Duplex } from 'node:stream';

import { CONTROL, dataFrame, FLAG_FIN, FrameParser, goAway, ping, RST, rstStream, synReply, word31 } from './frames.ts';
import type { Frame } from './frames.ts';
import { HeaderCompressor, HeaderDecompressor } from './header-block.ts';
import { SpdyStream } from './stream.ts';

export interface SpdyConnection {
  /** Says good-bye, sends what is queued, and closes. */
  close(): void;
}

/** More than any client opens; what goes beyond is refused. */
const MAX_STREAMS = 256;

/** Largest payload of a data frame of ours. */
const MAX_PAYLOAD = 32 * 1024;

const GO_AWAY_OK = 0;
const GO_AWAY_PROTOCOL_ERROR = 1;

class ServerConnection implements SpdyConnection {
  readonly #transport: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #parser = new FrameParser();
  readonly #compressor = new HeaderCompressor();
  readonly #decompressor = new HeaderDecompressor();
  readonly #stalled = new Set<number>();
  #lastStream = 0;

  constructor(transport: Duplex, head: Buffer, onStream: (stream: SpdyStream) => void) {
    this.#transport = transport;
    this.#onStream = onStream;
    transport.on('data', (chunk: Buffer) => this.#receive(chunk));
    transport.on('end', () => this.close());
    transport.on('error', () => transport.destroy());
    transport.once('close', () => this.#forgetAll());
    if (head.length > 0) this.#receive(head);
  }

  close(): void {
    if (this.#transport.writableEnded || this.#transport.destroyed) return;
    this.#transport.end(goAway(this.#lastStream, GO_AWAY_OK));
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#parser.push(chunk)) this.#handle(frame);
    } catch {
      // After a frame that cannot be read nothing that follows can be trusted to begin where it seems to.
      this.#forgetAll();
      this.#transport.end(goAway(this.#lastStream, GO_AWAY_PROTOCOL_ERROR), () => this.#transport.destroy());
    }
  }

  #handle(frame: Frame): void {
    if (frame.kind === 'data') {
      const stream = this.#streams.get(frame.stream);
      if (stream === undefined) this.#write(rstStream(frame.stream, RST.protocolError));
      else stream.receive(frame.payload, (frame.flags & FLAG_FIN) !== 0);
      return;
    }
    switch (frame.type) {
      case CONTROL.synStream:
        return this.#open(frame.payload, (frame.flags & FLAG_FIN) !== 0);
      case CONTROL.rstStream:
        this.#streams.get(word31(frame.payload, 0))?.destroy();
        return;
      case CONTROL.ping:
        this.#write(ping(word31(frame.payload, 0)));
        return;
      case CONTROL.headers:
        // Not used, but it moves the compression on.
        this.#decompressor.decompress(frame.payload.subarray(4));
        return;
      default:
        // SETTINGS, WINDOW_UPDATE and GOAWAY ask for nothing here; the transport's end follows a GOAWAY.
        return;
    }
  }

  #open(payload: Buffer, fin: boolean): void {
    const id = word31(payload, 0);
    const headers = this.#decompressor.decompress(payload.subarray(10));
    if (id % 2 === 0 || id <= this.#lastStream || this.#streams.size >= MAX_STREAMS) {
      this.#write(rstStream(id, RST.refusedStream));
      return;
    }
    this.#lastStream = id;
    const stream = new SpdyStream(id, headers, {
      send: (bytes, last, sent) => this.#send(id, bytes, last, sent),
      reset: () => this.#write(rstStream(id, RST.cancel)),
      stalled: (behind) => this.#stall(id, behind),
    });
    // A reset is an ordinary end of a stream here; anyone who uses the stream sees it close.
    stream.on('error', () => undefined);
    stream.once('close', () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    this.#write(synReply(id, this.#compressor.compress(new Map())));
    this.#onStream(stream);
    if (fin) stream.receive(Buffer.alloc(0), true);
  }

  #send(id: number, bytes: Buffer, fin: boolean, sent: (error?: Error | null) => void): void {
    if (!this.#transport.writable) return sent(new Error('the connection is closed'));
    let offset = 0;
    for (; bytes.length - offset > MAX_PAYLOAD; offset += MAX_PAYLOAD) {
      this.#transport.write(dataFrame(id, bytes.subarray(offset, offset + MAX_PAYLOAD)));
    }
    this.#transport.write(dataFrame(id, bytes.subarray(offset), fin), sent);
  }

  #write(frame: Buffer): void {
    if (this.#transport.writable) this.#transport.write(frame);
  }

  #stall(id: number, behind: boolean): void {
    if (behind) this.#stalled.add(id);
    else if (!this.#stalled.delete(id)) return;
    if (this.#stalled.size > 0) this.#transport.pause();
    else this.#transport.resume();
  }

  #forgetAll(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
  }
}

/**
 * Speaks SPDY/3.1 on a connection that has just been switched to it.
 * @param head bytes that came with the request that asked for the switch
 * @param onStream called for each stream that the client opens
 */
export const acceptSpdy = (transport: Duplex, head: Buffer, onStream: (stream: SpdyStream) => void): SpdyConnection =>
  new ServerConnection(transport, head, onStream);
