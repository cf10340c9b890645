/**
 * What the system holds for the TCP connections of this process: sent and not taken by the other side, or received and
 * not read here. It counts for the memory of a container, and Node tells nothing of it.
 *
 * An attacker reads nothing of responses of 4 MB: each is written and over, and the system keeps it for as long as the
 * connection is open. Guesses by what is under way did not see it. So the system is asked itself.
 * @see https://docs.kernel.org/networking/proc_net_tcp.html
 */
import { readFile } from 'node:fs/promises';
import { SocketAddress } from 'node:net';
import { endianness } from 'node:os';

const FILES = ['/proc/net/tcp', '/proc/net/tcp6'];

/** Both endpoints, and two queues of which one is not small; hexadecimal. */
const LARGE =
  /^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) .. (?!00000...:00000)(\w{8}):(\w{8}) /gm;

/** `::ffff:0:0/96`, as this machine has it. */
const MAPPED = endianness() === 'LE' ? '0000000000000000FFFF0000' : '00000000000000000000FFFF';

/**
 * Between two looks: one goes through all connections of the network namespace, 20 ms for 8,000. In turns of its own,
 * because a node has many more.
 */
const EVERY_MS = 250;
/** And so many times as long as the last one took. */
const PAUSE = 5;

/** The parts of a socket that name its connection. */
interface Connected {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** @returns a name for a TCP connection, by both its ends, for as long as its socket is open */
export const endpointsOf = ({ remoteAddress, remotePort, localAddress, localPort }: Connected): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;

export interface SystemBuffers {
  /**
   * @param endpoints of a connection (`endpointsOf`)
   * @returns bytes that the system held for it at the last look; 0 where they were fewer than 4 kB
   */
  of(endpoints: string): number;
  /** When that look was. Monotonic milliseconds. */
  readonly lookedMs: number;
}

/**
 * Looks when it is asked, a few times a second at most, and tells what it saw before. On a system that tells nothing, each
 * connection has 0 bytes.
 */
export class ProcNetTcp implements SystemBuffers {
  readonly #files: readonly string[];
  #bytes: ReadonlyMap<string, number> = new Map();
  #lookedMs = -Infinity;
  #nextMs = -Infinity;

  constructor(files = FILES) {
    this.#files = files;
  }

  of(endpoints: string): number {
    this.#lookSoon();
    return this.#bytes.get(endpoints) ?? 0;
  }

  get lookedMs(): number {
    this.#lookSoon();
    return this.#lookedMs;
  }

  #lookSoon(): void {
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = Infinity;
    void this.#look(nowMs);
  }

  async #look(nowMs: number): Promise<void> {
    const texts = await Promise.all(this.#files.map((file) => readFile(file, 'latin1').catch(() => '')));
    this.#bytes = new Map(texts.flatMap((text) => [...connectionsOf(text)]));
    this.#lookedMs = nowMs;
    const endedMs = performance.now();
    this.#nextMs = endedMs + Math.max(EVERY_MS, (endedMs - nowMs) * PAUSE);
  }
}

function* connectionsOf(text: string): Iterable<[endpoints: string, bytes: number]> {
  for (const [, local = '', localPort = '', remote = '', remotePort = '', sent = '', received = ''] of text.matchAll(
    LARGE,
  )) {
    const endpoints = endpointsOf({
      remoteAddress: addressOf(remote),
      remotePort: Number.parseInt(remotePort, 16),
      localAddress: addressOf(local),
      localPort: Number.parseInt(localPort, 16),
    });
    yield [endpoints, Number.parseInt(sent, 16) + Number.parseInt(received, 16)];
  }
}

/** @param hex four bytes each, in the order of this machine */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return bytes.join('.');
  // Of a client over IPv4 at a listener for both.
  if (hex.startsWith(MAPPED)) return `::ffff:${bytes.subarray(-4).join('.')}`;
  const groups = bytes.toString('hex').match(/.{4}/g) ?? [];
  // As Node writes it.
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
