/**
 * Reads what in a handshake has the other side's certificates: the second flight of a client, and that of an API server.
 *
 * OpenSSL checks the client's certificates against each other before anyone can say that no CA matters here. An attacker
 * without any credential sends a certificate beneath ninety CAs whose keys are dear to check (sect571r1; RSA with an
 * exponent of 3072 bits): 47 kB that take 290 ms, five times a second, and the lease lapses. Node would give OpenSSL all
 * that has come, 64 kB at once. So each is read here, not more than a handshake may have, and whatever is not over then is
 * ended: OpenSSL checks nothing before it has all of the certificates. What is left is 62 ms for 11 kB.
 *
 * So what each takes of the processor is counted for its client's site, and the site that has taken least is read next:
 * new users wait for one of forty a second, and not for all of them. Those that have taken much have half of the
 * processor at most, and so have flights that are longer than nearly all users': two hundred attackers are new each, too.
 */
import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { readerOf } from './reader.ts';
import { withoutStacks } from './stackless.ts';

/** Reads in a turn that bring nothing: whether one has something to read cannot be told without reading it. */
const MOST_EMPTY = 4;
/** Of the processor in a turn, before the last one that is read in it. Milliseconds. */
const TURN_MS = 8;
/** Of ten thousand that are silent, each is read every five seconds. */
const EVERY_MS = 2;
/**
 * Turns of these that were missed while the process had no processor, or other work. They are made up for one after the
 * other, with a poll of the sockets between them: as few as ever are read in each. Where they were not, four were read
 * every ten milliseconds of a busy machine, which an attacker's new handshakes outran.
 */
const MOST_MISSED = 16;
/**
 * A user's handshake is over in a round trip or two. An attacker's thousand that are never gone on with cost a
 * ClientHello each: those that have begun longer ago have one turn in so many, and so have long ones.
 */
const YOUNG_MS = 500;
const ROUND = 4;
/** For each read, beside what it took: the system counts in steps that may be longer. Milliseconds. */
const READ_MS = 0.02;
/** A site that has taken so much is dear: a user's handshake takes one or two. Milliseconds. */
const DEAR_MS = 8;
/** After so long, half of what a site has taken is forgotten. */
const HALF_LIFE_MS = 10_000;

/** A client's certificate of its own and the proof have 700 bytes, with RSA of 4096 bits 2 kB. */
const USUAL_BYTES = 2048;
/** With a ClientHello of 2 kB, a certificate of 4 kB, and as much of its CAs. */
export const MOST_HANDSHAKE_BYTES = 12_288;

export interface Flight {
  /** Of its client (`siteOf`), or an API server. */
  readonly site: string;
  /** More than is usual has been read of it. */
  readonly isLong: boolean;
  /** Has it read by no one but `read`. */
  hold(): void;
  /**
   * Reads what has come, and gives it to OpenSSL: when this returns, the handshake may be over.
   * @returns `all`: as much as a handshake may have; `left`: its client has closed it
   */
  read(): 'nothing' | 'some' | 'all' | 'left';
  /** Ends the connection, because its handshake is too large. */
  end(): void;
  /** Has Node read it from now on. */
  release(): void;
}

export interface FlightEvents {
  /** Called at each of its turns. */
  readonly onTurn?: () => void;
  /** Called with the bytes that were read for OpenSSL, which Node does not count. */
  readonly onRead?: (bytes: number) => void;
  /** Called before the connection ends. */
  readonly onTooLarge: () => void;
}

/** Node's own parts: of TCP, with the system's number of the connection, and of the TLS over it. */
interface TcpHandle {
  readonly fd: number;
}
interface TlsHandle {
  /** Takes bytes as if they had been read. */
  receive(bytes: Uint8Array): void;
}
const handleOf = (socket: Socket): object | null => (socket as unknown as { readonly _handle: object | null })._handle;

/**
 * Has a server begin TLS over a connection, and returns the socket that it makes. Node has no public way to it before the
 * handshake is over.
 */
export function tlsBegunBy(begin: () => void): TLSSocket | undefined {
  const prototype = TLSSocket.prototype as unknown as { _init: (...args: unknown[]) => unknown };
  const { _init: init } = prototype;
  let made: TLSSocket | undefined;
  const note = (socket: TLSSocket): void => void (made = socket);
  prototype._init = function (this: TLSSocket, ...args) {
    note(this);
    return init.apply(this, args);
  };
  try {
    begin();
  } finally {
    prototype._init = init;
  }
  return made;
}

/** Of all connections, because what is read is given on at once. */
const memory = Buffer.allocUnsafeSlow(16_384);

/** @returns the bytes that have come, at most so many; undefined: none yet; 0 also where the connection is broken */
function readFrom(fd: number, most: number): number | undefined {
  let read: number | undefined = 0;
  withoutStacks(() => {
    try {
      read = readSync(fd, memory, 0, Math.min(most, memory.length), null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') read = undefined;
    }
  });
  return read;
}

/**
 * @param socket of whose bytes so far Node has all that it has read
 * @param about.tls over it; the same where it has connected itself
 * @param about.most bytes that the other side may send in its handshake. Default: those of a client
 * @param about.usual bytes after which the flight is a long one. Default: those of a client
 */
export function flightOf(
  socket: Socket,
  {
    tls,
    site,
    most = MOST_HANDSHAKE_BYTES,
    usual = USUAL_BYTES,
    onTurn,
    onRead,
    onTooLarge,
  }: FlightEvents & { readonly tls: TLSSocket; readonly site: string; readonly most?: number; readonly usual?: number },
): Flight {
  const reader = readerOf(socket);
  let left = most - socket.bytesRead;
  let usualLeft = usual;
  return {
    site,
    get isLong() {
      return usualLeft === 0;
    },
    hold: () => reader.stopReading(),
    release: () => reader.goOnReading(),
    read: () => {
      onTurn?.();
      const tcp = handleOf(socket) as TcpHandle | null;
      const ssl = handleOf(tls) as TlsHandle | null;
      if (tcp === null || ssl === null) return 'left';
      // Its ClientHello has had as much already.
      if (left <= 0) return 'all';
      const bytes = readFrom(tcp.fd, usualLeft === 0 ? left : Math.min(left, usualLeft));
      if (bytes === undefined) return 'nothing';
      if (bytes === 0) return 'left';
      left -= bytes;
      usualLeft = Math.max(0, usualLeft - bytes);
      onRead?.(bytes);
      ssl.receive(memory.subarray(0, bytes));
      return left === 0 ? 'all' : 'some';
    },
    end: () => {
      onTooLarge();
      socket.destroy();
    },
  };
}

/** What the sites have taken of the processor lately. */
class Spending {
  #spent = new Map<string, number>();
  #halvedMs = performance.now();
  /** When the next one of a dear site may be read. */
  #nextDearMs = 0;

  of(site: string): number {
    return this.#spent.get(site) ?? 0;
  }

  mayRead({ site, isLong }: Flight): boolean {
    return (!isLong && this.of(site) < DEAR_MS) || performance.now() >= this.#nextDearMs;
  }

  add({ site }: Flight, ms: number, wasLong: boolean): void {
    this.#forget();
    const before = this.of(site);
    if (wasLong || before >= DEAR_MS) this.#nextDearMs = performance.now() + ms;
    this.#spent.set(site, before + READ_MS + ms);
  }

  #forget(): void {
    if (performance.now() - this.#halvedMs < HALF_LIFE_MS) return;
    this.#halvedMs = performance.now();
    this.#spent = new Map([...this.#spent].flatMap(([site, ms]) => (ms < READ_MS ? [] : [[site, ms / 2] as const])));
  }
}

/** Flights that wait, by their sites. */
class Waiting {
  readonly #sites = new Map<string, Set<Flight>>();
  readonly #spending: Spending;

  constructor(spending: Spending) {
    this.#spending = spending;
  }

  add(flight: Flight): void {
    const own = this.#sites.get(flight.site) ?? new Set();
    this.#sites.set(flight.site, own.add(flight));
  }

  /** @returns whether it was among them */
  delete(flight: Flight): boolean {
    const own = this.#sites.get(flight.site);
    const wasIn = own?.delete(flight) === true;
    if (own?.size === 0) this.#sites.delete(flight.site);
    return wasIn;
  }

  /** Removes and returns the one that has waited longest of the site that has taken least; undefined where none may be read. */
  take(): Flight | undefined {
    let cheapest: string | undefined;
    let least = Infinity;
    for (const site of this.#sites.keys()) {
      const spent = this.#spending.of(site);
      if (spent < least) [cheapest, least] = [site, spent];
    }
    const [flight] = (cheapest !== undefined && this.#sites.get(cheapest)) || [];
    if (flight === undefined || !this.#spending.mayRead(flight)) return undefined;
    this.delete(flight);
    return flight;
  }
}

export class SecondFlights {
  /** When each has begun, of all of them. Monotonic milliseconds. */
  readonly #begun = new Map<Flight, number>();
  readonly #spending = new Spending();
  /** Those that have begun a moment ago, the others, and long ones. */
  readonly #young = new Waiting(this.#spending);
  readonly #old = new Waiting(this.#spending);
  readonly #long = new Waiting(this.#spending);
  #turns = 0;
  #missed = 0;
  /** When the last turn was over. */
  #lastMs = 0;
  #isTurning = false;

  /** To be called when the handshake has begun. */
  add(flight: Flight): void {
    this.#begun.set(flight, performance.now());
    this.#await(flight);
    flight.hold();
    // Node begins to read it once its own work of this turn is done.
    process.nextTick(() => {
      if (this.#begun.has(flight)) flight.hold();
    });
    if (this.#isTurning) return;
    this.#missed = 0;
    this.#wait();
  }

  /** To be called when the handshake is over, or the connection. */
  remove(flight: Flight): void {
    if (!this.#begun.delete(flight)) return;
    for (const waiting of [this.#young, this.#old, this.#long]) waiting.delete(flight);
    flight.release();
  }

  #wait(): void {
    this.#lastMs = performance.now();
    this.#isTurning = true;
    if (this.#missed >= 1) setImmediate(this.#next);
    else setTimeout(this.#next, EVERY_MS);
  }

  readonly #next = (): void => {
    this.#isTurning = false;
    const missed = this.#missed + (performance.now() - this.#lastMs) / EVERY_MS - 1;
    this.#missed = Math.min(MOST_MISSED, missed);
    const since = process.threadCpuUsage();
    const read: Flight[] = [];
    for (let empty = 0; empty < MOST_EMPTY && msSince(since) < TURN_MS;) {
      const flight = this.#take();
      if (flight === undefined) break;
      read.push(flight);
      if (!this.#read(flight)) empty += 1;
    }
    for (const flight of read) this.#await(flight);
    if (this.#begun.size > 0) this.#wait();
  };

  /** @returns whether it had anything to read */
  #read(flight: Flight): boolean {
    const before = process.threadCpuUsage();
    const { isLong } = flight;
    const read = flight.read();
    this.#spending.add(flight, msSince(before), isLong);
    if (read === 'left') this.remove(flight);
    if (read === 'all' && this.#begun.has(flight)) {
      flight.end();
      this.remove(flight);
    }
    return read !== 'nothing';
  }

  #await(flight: Flight): void {
    const begunMs = this.#begun.get(flight);
    if (begunMs === undefined) return;
    if (flight.isLong) this.#long.add(flight);
    else (performance.now() - begunMs < YOUNG_MS ? this.#young : this.#old).add(flight);
  }

  #take(): Flight | undefined {
    this.#turns += 1;
    const turn = this.#turns % ROUND;
    const first = turn === 0 ? this.#old : turn === ROUND / 2 ? this.#long : this.#young;
    return first.take() ?? this.#young.take() ?? this.#old.take() ?? this.#long.take();
  }
}

function msSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
