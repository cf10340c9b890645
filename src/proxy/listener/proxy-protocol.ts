/**
 * The PROXY protocol, version 2: the address of the client behind a load balancer that passes TCP on.
 *
 * An attacker who can write this header chooses the address that the audit log has for them. So it is accepted from
 * the configured addresses only. From any other address, and if it is missing or wrong, the connection is dropped
 * without a response.
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt section 2.2
 */
import { BlockList, isIPv6 } from 'node:net';
import type { Socket } from 'node:net';
import { plainAddress } from '../../core/http/address.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_BYTES = 16;
/** The addresses and all extensions that load balancers are known to send are far shorter. */
const MAX_HEADER_BYTES = 2048;
const LOCAL = 0x20;
const PROXY = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;

export type ProxyHeaderError = 'untrusted_peer' | 'malformed' | 'too_long' | 'late' | 'closed';

/** Reads the first 16 bytes. @returns how many bytes follow */
function proxyHeaderLength(fixed: Buffer): Result<number, ProxyHeaderError> {
  if (fixed.length !== FIXED_BYTES || !fixed.subarray(0, SIGNATURE.length).equals(SIGNATURE)) return no('malformed');
  const command = fixed.readUInt8(12);
  if (command !== LOCAL && command !== PROXY) return no('malformed');
  const length = fixed.readUInt16BE(14);
  return length > MAX_HEADER_BYTES ? no('too_long') : ok(length);
}

/**
 * @param rest the bytes after the first 16
 * @returns the client's address; undefined for LOCAL, with which a load balancer connects for itself (a health
 *   check)
 */
function proxyHeaderSource(fixed: Buffer, rest: Buffer): Result<string | undefined, ProxyHeaderError> {
  if (fixed.readUInt8(12) === LOCAL) return ok(undefined);
  const family = fixed.readUInt8(13);
  if (family === TCP_OVER_IPV4 && rest.length >= 12) return ok([...rest.subarray(0, 4)].join('.'));
  if (family === TCP_OVER_IPV6 && rest.length >= 36) return ok(plainAddress(ipv6(rest.subarray(0, 16))));
  // Neither UDP nor a Unix socket nor "unknown" can have brought a TLS client of Kubernetes here.
  return no('malformed');
}

/** @param cidrs such as `10.0.0.0/8` and `fd00::/8` */
export function addressSet(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix = ''] = cidr.split('/');
    list.addSubnet(network, Number(prefix), isIPv6(network) ? 'ipv6' : 'ipv4');
  }
  return (address) => {
    const plain = plainAddress(address);
    return list.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
  };
}

export interface ProxyHeaderOptions {
  readonly isTrusted: (address: string) => boolean;
  readonly timeoutMs: number;
}

/**
 * Reads the header from a connection, and not a byte more: the next bytes are TLS. `done` is called exactly once.
 */
export function readProxyHeader(
  socket: Socket,
  { isTrusted, timeoutMs }: ProxyHeaderOptions,
  done: (source: Result<string | undefined, ProxyHeaderError>) => void,
): void {
  if (!isTrusted(socket.remoteAddress ?? '')) {
    done(no('untrusted_peer'));
    return;
  }
  let fixed: Buffer | undefined;
  const settle = (source: Result<string | undefined, ProxyHeaderError>): void => {
    clearTimeout(timer);
    socket.off('readable', readHeader);
    socket.off('end', gone);
    socket.off('close', gone);
    done(source);
  };
  const gone = (): void => settle(no('closed'));
  const readHeader = (): void => {
    fixed ??= (socket.read(FIXED_BYTES) as Buffer | null) ?? undefined;
    if (fixed === undefined) return;
    const length = proxyHeaderLength(fixed);
    if (!length.ok) {
      settle(length);
      return;
    }
    const rest = length.value === 0 ? Buffer.alloc(0) : (socket.read(length.value) as Buffer | null);
    if (rest !== null) settle(rest.length === length.value ? proxyHeaderSource(fixed, rest) : no('closed'));
  };
  const timer = setTimeout(() => settle(no('late')), timeoutMs);
  socket.on('readable', readHeader);
  socket.on('end', gone);
  socket.on('close', gone);
}

function ipv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  // The URL parser writes an address in its one canonical form (RFC 5952). An IPv4 address that is mapped into IPv6
  // is extracted.
  const mapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff';
  if (mapped) return [...bytes.subarray(12)].join('.');
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
