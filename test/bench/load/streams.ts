/** Watches that are held, and bytes through an upgraded connection. */
import { once } from 'node:events';
import { constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import { openTls, requestHead } from './http1.ts';
import type { LoadTarget } from './http1.ts';
import { Http2Connection } from './http2.ts';

/** Every event of the bench's upstream ends so; one is never split, because it is far shorter than a TLS record. */
const EVENT_END = '}}\n';
const OPENING_AT_ONCE = 48;
const STREAMS_PER_SESSION = 100;
/** The most that one connection may have at the same time. */
const MOST_STREAMS = 250;

/** Of a watch that is refused. */
const MOST_TRIES = 20;

/** Nanoseconds of the one monotonic clock that all processes of the machine share. */
const now = (): number => Number(process.hrtime.bigint());

/** Holds watches and counts what they get. */
export class WatchSet {
  readonly #sessions: Http2Connection[] = [];
  readonly #streams = new Set<Duplex>();
  readonly #marks: { readonly when: () => boolean; readonly resolve: (at: number) => void }[] = [];
  #events = 0;
  #closed = 0;

  get size(): number {
    return this.#streams.size;
  }

  /** Opens them, some in parallel; resolves when each has had its first event, and throws where one is over before that. */
  async open(target: LoadTarget, path: string, { count, http2 }: { readonly count: number; readonly http2: boolean }) {
    const before = this.#events;
    const closed = this.#closed;
    const all = this.#reached(() => this.#events >= before + count || this.#closed > closed);
    let left = count;
    const opener = async (): Promise<void> => {
      while (left > 0) {
        const share = http2 ? Math.min(STREAMS_PER_SESSION, left) : 1;
        left -= share;
        if (http2) await this.#openSession(target, path, share);
        else await this.#openConnection(target, path);
      }
    };
    await Promise.all(Array.from({ length: http2 ? 4 : OPENING_AT_ONCE }, opener));
    await all;
    if (this.#closed > closed) throw new Error(`${this.#closed - closed} watches were over before all were open`);
  }

  /**
   * Opens connections first, and then requests all watches in one tick. Resolves when each has had its first event or is over.
   * @returns milliseconds from the asking, and how many have had an event
   */
  async burst(
    target: LoadTarget,
    path: string,
    count: number,
  ): Promise<{ readonly ms: number; readonly opened: number }> {
    const sessions = await Promise.all(
      Array.from({ length: Math.ceil(count / MOST_STREAMS) }, () => Http2Connection.open(target)),
    );
    this.#sessions.push(...sessions);
    const begun = performance.now();
    for (let stream = 0; stream < count; stream += 1) this.#request(sessions[stream % sessions.length]!, path);
    await this.#reached(() => this.#events + this.#closed >= count);
    return { ms: performance.now() - begun, opened: this.#events };
  }

  /** @returns when the last watch has had one more event */
  nextEvent(): Promise<number> {
    const target = this.#events + this.#streams.size;
    return this.#reached(() => this.#events >= target);
  }

  /** @returns when the last watch was over */
  allClosed(): Promise<number> {
    return this.#reached(() => this.#closed >= this.#streams.size);
  }

  close(): void {
    for (const stream of this.#streams) stream.destroy();
    for (const session of this.#sessions) session.close();
  }

  async #openConnection(target: LoadTarget, path: string): Promise<void> {
    const socket = await openTls(target, 'http/1.1');
    this.#hold(socket);
    socket.write(requestHead(target, path), 'latin1');
  }

  async #openSession(target: LoadTarget, path: string, streams: number): Promise<void> {
    const session = await Http2Connection.open(target);
    this.#sessions.push(session);
    for (let i = 0; i < streams; i += 1) this.#request(session, path);
  }

  /** Sends what a server has refused again, as client-go does: it has not begun it, and a new connection may have few. */
  #request(session: Http2Connection, path: string, tries = MOST_TRIES): void {
    const stream = session.request(path);
    this.#hold(stream, () => {
      const isRefused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM && tries > 0 && session.isOpen;
      if (isRefused) this.#request(session, path, tries - 1);
      return isRefused;
    });
  }

  /** @param isReplaced whether another one is held for it, once it is over */
  #hold(stream: Duplex, isReplaced: () => boolean = () => false): void {
    this.#streams.add(stream);
    stream.on('data', (chunk: Buffer) => {
      if (!chunk.includes(EVENT_END)) return;
      this.#events += 1;
      this.#check();
    });
    stream.on('error', () => undefined);
    stream.once('close', () => {
      if (isReplaced()) return void this.#streams.delete(stream);
      this.#closed += 1;
      this.#check();
    });
  }

  #reached(when: () => boolean): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#marks.push({ when, resolve });
    this.#check();
    return promise;
  }

  #check(): void {
    for (let index = this.#marks.length - 1; index >= 0; index -= 1) {
      const mark = this.#marks[index];
      if (mark?.when() !== true) continue;
      this.#marks.splice(index, 1);
      mark.resolve(now());
    }
  }
}

/**
 * Takes bytes from an upgraded connection.
 * @param bytes how many to wait for, the head of the response not counted
 * @returns seconds from the first byte after the head to the last
 */
export async function throughUpgrade(target: LoadTarget, path: string, bytes: number): Promise<number> {
  const socket = await openTls(target, 'http/1.1');
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n';
  const whole = Promise.withResolvers<number>();
  let started: number | undefined;
  let left = bytes;
  socket.on('error', whole.reject);
  socket.on('close', () => whole.reject(new Error('the upgraded connection closed early')));
  socket.on('data', (chunk: Buffer) => {
    let body = chunk;
    if (started === undefined) {
      started = performance.now();
      const end = chunk.indexOf('\r\n\r\n');
      if (!chunk.toString('latin1', 0, 12).startsWith('HTTP/1.1 101') || end === -1) {
        whole.reject(new Error(`no upgrade: ${chunk.toString('latin1', 0, 400)}`));
      }
      body = chunk.subarray(end + 4);
    }
    left -= body.length;
    if (left <= 0) whole.resolve((performance.now() - started) / 1000);
  });
  socket.write(requestHead(target, path, upgrade), 'latin1');
  try {
    return await whole.promise;
  } finally {
    socket.destroy();
  }
}

/** Reads the response to a request at a limited speed, by pauses, for some seconds. @returns bytes read in all */
export async function readSlowly(
  target: LoadTarget,
  path: string,
  { bytesPerSecond, seconds }: { readonly bytesPerSecond: number; readonly seconds: number },
): Promise<number> {
  const socket = await openTls(target, 'http/1.1');
  let taken = 0;
  const begun = performance.now();
  const allowed = (): number => ((performance.now() - begun) / 1000) * bytesPerSecond;
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    taken += chunk.length;
    if (taken > allowed()) socket.pause();
  });
  const timer = setInterval(() => {
    if (taken <= allowed()) socket.resume();
  }, 50);
  socket.write(requestHead(target, path), 'latin1');
  const over = setTimeout(() => socket.destroy(), seconds * 1000);
  await once(socket, 'close');
  clearInterval(timer);
  clearTimeout(over);
  if (performance.now() - begun < seconds * 990) throw new Error('a slow reader lost its connection');
  return taken;
}
