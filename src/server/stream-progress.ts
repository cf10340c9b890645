/**
 * How far the peers of a stream have taken what was sent to them: the browser, and the console behind it.
 *
 * By looks at what the system holds, and not by events: a user who reads nothing, or has left while nothing was read of
 * them, causes none. What the system accepts says nothing either, since it takes megabytes that no peer reads.
 */
import type { Socket } from 'node:net';
import { handedToTcp } from '../core/http/connection-reset.ts';
import { ClientDelay, endpointsOf, type SystemBuffers } from '../proxy/proxy.ts';

/** One of the connections of a stream. */
export class StreamSide {
  /** What its bytes go through here: the TLS socket where there is one. */
  carrier: Socket;
  /** The TCP socket, or the TLS socket over it. */
  readonly #socket: Socket;
  readonly #buffers: SystemBuffers;
  #endpoints: string | undefined;
  /** Of what the system had been given at the last look, and when that was. */
  #given = 0;
  #lookedMs = -Infinity;
  #taken = 0;

  constructor(socket: Socket, buffers: SystemBuffers) {
    this.carrier = socket;
    this.#socket = socket;
    this.#buffers = buffers;
  }

  /** Bytes that wait, here and in the system, in either direction. */
  get held(): number {
    return this.queued + this.#inSystem;
  }

  /** Bytes that wait here. While there are none, both peers are read from. */
  get queued(): number {
    const { writableLength, readableLength } = this.carrier;
    return Math.max(writableLength, handedToTcp(this.#socket).queued) + readableLength;
  }

  get #inSystem(): number {
    if (this.#endpoints === undefined && this.#socket.remotePort !== undefined) {
      this.#endpoints = endpointsOf(this.#socket);
    }
    return this.#endpoints === undefined ? 0 : this.#buffers.of(this.#endpoints);
  }

  /** Returns how many bytes its peer has taken since the last call, as far as the last look of the system tells. */
  newlyTaken(): number {
    const inSystem = this.#inSystem;
    const { lookedMs } = this.#buffers;
    // What has been given to it since that look was not there then.
    const taken = lookedMs === this.#lookedMs ? this.#taken : Math.max(this.#taken, this.#given - inSystem);
    const more = taken - this.#taken;
    this.#taken = taken;
    this.#lookedMs = lookedMs;
    const { handed, queued } = handedToTcp(this.#socket);
    this.#given = handed - queued;
    return more;
  }
}

export class StreamProgress {
  #taken = 0;
  readonly #delay = new ClientDelay(() => this.#taken);
  #movedMs = performance.now();

  /**
   * To be called again and again.
   * @returns milliseconds by which the peers are late with what waits for them, and for which they have taken nothing
   */
  look(sides: readonly StreamSide[]): { readonly lateMs: number; readonly stillMs: number } {
    const nowMs = performance.now();
    const more = sides.reduce((sum, side) => sum + side.newlyTaken(), 0);
    const waits = sides.some(({ held }) => held > 0);
    this.#taken += more;
    if (more > 0 || !waits) this.#movedMs = nowMs;
    // Piece by piece, so that nothing is paid in advance.
    this.#delay.goesOn();
    if (waits) this.#delay.waits();
    return { lateMs: this.#delay.lateMs(nowMs), stillMs: nowMs - this.#movedMs };
  }

  /** To be called where nothing waits, in place of a look, which costs more. */
  rests(): void {
    this.#movedMs = performance.now();
  }
}
