/**
 * Reads what in a handshake has the other side's certificates: the second flight of a client, and that of an API server.
 *
 * OpenSSL checks the client's certificates against each other before anyone can say that no CA matters here. An attacker
 * without any credential sends a certificate beneath ninety CAs whose keys are dear to check (sect571r1; RSA with an
 * exponent of 3072 bits): 47 kB that take 290 ms, five times a second, and the lease lapses. Node would give OpenSSL all
 * that has come, 64 kB at once. So each is read here, not more than a handshake may have, and whatever is not over then is
 * ended: OpenSSL checks nothing before it has all of the certificates. What is left is 62 ms for 11 kB.
 *
 * So what each takes of the processor is counted for its client's site, and of what has come, OpenSSL gets next what the site
 * has sent that has taken least: new users wait for one of forty a second, and not for all of them. Those that have taken
 * much have half of the processor at most, and so have flights that are longer than nearly all users': two hundred
 * attackers are new each, too. Reading alone goes around: an attacker whose handshakes send nothing takes nothing, and would
 * be read for ever before an office of users.
 */
import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { readerOf } from '../../timing/reader.ts';
import { withoutStacks } from './stackless.ts';

/** Reads in a turn: whether one has something to read cannot be told without reading it. One takes ten microseconds. */
const READS_PER_TURN = 16;
const LONG_READS_PER_TURN = 4;
/** Of the processor in a turn, before the last one that OpenSSL gets in it. Milliseconds. */
const TURN_MS = 8;
/**
 * Where other work makes the turns long there is more in each, up to so many times the reads and so many milliseconds: what was
 * rejected for one attacker made turns of 0.1 s, and another's handshakes took the sixteen reads of each.
 */
const MOST_LONGER = 8;
const MOST_TURN_MS = 32;
const SHARE = 1 / 4;
/** Of ten thousand that are silent, each is read every second or two. */
const EVERY_MS = 2;
/**
 * Turns of these that were missed while the process had no processor, or other work. They are made up for one after the
 * other, with a poll of the sockets between them: as few as ever are read in each. Where they were not, four were read
 * every ten milliseconds of a busy machine, which an attacker's new handshakes outran.
 */
const MOST_MISSED = 16;
/**
 * A user's handshake is over in a round trip or two. An attacker's thousand that are never gone on with cost a
 * ClientHello each: those that have begun longer ago have one read in so many.
 */
const YOUNG_MS = 500;
const ROUND = 4;
/**
 * However few there are, each of those is read once in so many turns, and while no others wait and they are not many, there
 * is one turn in place of so many: one handshake that was never gone on with took 5 % of a core.
 */
const TURNS_OF_OLD = 8;
const FEW = 64;
/** Less is forgotten, and each has taken as much: the system may count in longer steps. Milliseconds. */
const LEAST_MS = 0.1;
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
   * Reads what has come, and keeps it: of one that is not long yet, no more than is usual.
   * @returns `left`: its client has closed it
   */
  read(): 'nothing' | 'some' | 'left';
  /** Gives what was read to OpenSSL: when this returns, the handshake may be over. @returns false: it had as much as it may have */
  check(): boolean;
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

const NOTHING: Buffer = Buffer.alloc(0);
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
  let kept = NOTHING;
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
      if (tcp === null) return 'left';
      // Its ClientHello has had as much already.
      if (left <= 0) return 'some';
      const bytes = readFrom(tcp.fd, usualLeft === 0 ? left : Math.min(left, usualLeft));
      if (bytes === undefined) return 'nothing';
      if (bytes === 0) return 'left';
      kept = Buffer.from(memory.subarray(0, bytes));
      return 'some';
    },
    check: () => {
      const { length } = kept;
      left -= length;
      usualLeft = Math.max(0, usualLeft - length);
      const bytes = kept;
      kept = NOTHING;
      const ssl = handleOf(tls) as TlsHandle | null;
      if (length > 0 && ssl !== null) {
        onRead?.(length);
        ssl.receive(bytes);
      }
      return left > 0;
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
  /** When the next one of a dear site may be checked. */
  #nextDearMs = 0;

  of(site: string): number {
    return this.#spent.get(site) ?? 0;
  }

  /** Whether one that is long, or of a dear site, may be checked now. */
  get isDearsTurn(): boolean {
    return performance.now() >= this.#nextDearMs;
  }

  mayCheck(site: string): boolean {
    return this.of(site) < DEAR_MS || this.isDearsTurn;
  }

  add({ site }: Flight, ms: number, wasLong: boolean): void {
    this.#forget();
    const before = this.of(site);
    if (wasLong || before >= DEAR_MS) this.#nextDearMs = performance.now() + ms;
    this.#spent.set(site, before + Math.max(LEAST_MS, ms));
  }

  #forget(): void {
    if (performance.now() - this.#halvedMs < HALF_LIFE_MS) return;
    this.#halvedMs = performance.now();
    this.#spent = new Map([...this.#spent].flatMap(([site, ms]) => (ms < LEAST_MS ? [] : [[site, ms / 2] as const])));
  }
}

/** Flights of which OpenSSL is to get what was read, by their sites. */
class Ready {
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

  /** Removes and returns the one that has waited longest of the site that has taken least; undefined where none may be checked. */
  take(): Flight | undefined {
    let cheapest: string | undefined;
    let least = Infinity;
    for (const site of this.#sites.keys()) {
      const spent = this.#spending.of(site);
      if (spent < least) [cheapest, least] = [site, spent];
    }
    if (cheapest === undefined || !this.#spending.mayCheck(cheapest)) return undefined;
    const [flight] = this.#sites.get(cheapest) ?? [];
    if (flight !== undefined) this.delete(flight);
    return flight;
  }
}

export class SecondFlights {
  /** When each has begun, of all of them. Monotonic milliseconds. */
  readonly #begun = new Map<Flight, number>();
  readonly #spending = new Spending();
  /** To be read: those that have begun a moment ago, the others, and long ones. The one that has waited longest first. */
  readonly #young = new Set<Flight>();
  readonly #old = new Set<Flight>();
  readonly #long = new Set<Flight>();
  readonly #ready = new Ready(this.#spending);
  #turns = 0;
  #missed = 0;
  /** When the last turn was over. */
  #lastMs = 0;
  #isTurning = false;
  #timer: NodeJS.Timeout | undefined;
  /** Between the last turn and the next one. */
  #everyMs = EVERY_MS;
  #turnMs = TURN_MS;

  /** To be called when the handshake has begun. */
  add(flight: Flight): void {
    this.#begun.set(flight, performance.now());
    this.#await(flight);
    flight.hold();
    // Node begins to read it once its own work of this turn is done.
    process.nextTick(() => {
      if (this.#begun.has(flight)) flight.hold();
    });
    // The next turn is near.
    if (this.#isTurning && (this.#everyMs === EVERY_MS || this.#missed >= 1)) return;
    if (!this.#isTurning) this.#missed = 0;
    this.#wait();
  }

  /** To be called when the handshake is over, or the connection. */
  remove(flight: Flight): void {
    if (!this.#begun.delete(flight)) return;
    for (const waiting of [this.#young, this.#old, this.#long, this.#ready]) waiting.delete(flight);
    flight.release();
  }

  #wait(): void {
    this.#lastMs = performance.now();
    const others = this.#begun.size - this.#old.size;
    this.#everyMs = others === 0 && this.#old.size <= FEW ? EVERY_MS * TURNS_OF_OLD : EVERY_MS;
    this.#isTurning = true;
    clearTimeout(this.#timer);
    if (this.#missed >= 1) setImmediate(this.#next);
    else this.#timer = setTimeout(this.#next, this.#everyMs);
  }

  readonly #next = (): void => {
    this.#isTurning = false;
    const sinceMs = performance.now() - this.#lastMs;
    const missed = this.#missed + (sinceMs - this.#everyMs) / EVERY_MS;
    this.#missed = Math.min(MOST_MISSED, missed);
    this.#turns += 1;
    this.#turnMs = Math.min(MOST_TURN_MS, Math.max(TURN_MS, sinceMs * SHARE));
    // So many times as long as what is made up for.
    const longer = Math.min(MOST_LONGER, sinceMs / (MOST_MISSED * EVERY_MS));
    this.#readSome(READS_PER_TURN * Math.max(this.#everyMs / EVERY_MS, longer));
    const steps = [this.#checkSome, this.#checkLong];
    for (const step of this.#turns % 2 === 0 ? steps : steps.toReversed()) step();
    if (this.#begun.size > 0) this.#wait();
  };

  #readSome(most: number): void {
    const silent: Flight[] = [];
    let old = (this.#old.size * most) / (READS_PER_TURN * TURNS_OF_OLD);
    const takeOld = (): Flight | undefined => {
      old -= 1;
      return old > -1 ? takeFrom(this.#old) : undefined;
    };
    for (let reads = 0; reads < most; reads += 1) {
      const flight = reads % ROUND === 0 ? (takeOld() ?? takeFrom(this.#young)) : (takeFrom(this.#young) ?? takeOld());
      if (flight === undefined) break;
      if (this.#read(flight)) this.#ready.add(flight);
      else silent.push(flight);
    }
    for (const flight of silent) this.#await(flight);
  }

  #read(flight: Flight): boolean {
    const read = flight.read();
    if (read === 'left') this.remove(flight);
    return read === 'some';
  }

  readonly #checkSome = (): void => {
    const since = process.threadCpuUsage();
    while (msSince(since) < this.#turnMs) {
      const flight = this.#ready.take();
      if (flight === undefined) return;
      this.#check(flight);
    }
  };

  /** A long one is read when OpenSSL may have it: ten thousand of them would have to be kept. */
  readonly #checkLong = (): void => {
    for (
      let reads = Math.min(LONG_READS_PER_TURN, this.#long.size);
      reads > 0 && this.#spending.isDearsTurn;
      reads -= 1
    ) {
      const flight = takeFrom(this.#long);
      if (flight === undefined) return;
      if (this.#read(flight)) this.#check(flight);
      else this.#await(flight);
    }
  };

  #check(flight: Flight): void {
    const { isLong } = flight;
    const before = process.threadCpuUsage();
    const mayGoOn = flight.check();
    this.#spending.add(flight, msSince(before), isLong);
    if (!mayGoOn && this.#begun.has(flight)) {
      flight.end();
      this.remove(flight);
    }
    this.#await(flight);
  }

  #await(flight: Flight): void {
    const begunMs = this.#begun.get(flight);
    if (begunMs === undefined) return;
    if (flight.isLong) this.#long.add(flight);
    else (performance.now() - begunMs < YOUNG_MS ? this.#young : this.#old).add(flight);
  }
}

/** Removes and returns the first of them. */
function takeFrom(flights: Set<Flight>): Flight | undefined {
  for (const flight of flights) {
    flights.delete(flight);
    return flight;
  }
  return undefined;
}

function msSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
