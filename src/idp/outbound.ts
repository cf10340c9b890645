/**
 * Requests to an identity provider, and to no other host.
 *
 * Discovery is untrusted, and names further URLs. An attacker who controls a provider, or a tenant that may edit
 * its metadata, makes the server call the cloud's metadata service or a service in the internal network (SSRF).
 * So: https only (loopback http where the issuer itself is loopback http: the demo), only the issuer's host and
 * those that the configuration lists, no redirects, and an address check at connect time, which DNS rebinding
 * cannot get around. Behind a proxy it is the proxy that resolves names and connects: there the check covers literal
 * addresses alone, and the proxy's own rules have to keep it from link-local and internal addresses
 * (docs/outbound-proxy.md).
 */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { fetch } from 'undici';
import { plainAddress } from '../core/http/address.ts';
import { hasMoreValues, hasTokensOfMoreValues } from '../core/http/json-values.ts';
import { createEgress, type Egress, type EgressOptions, type EgressProxy } from '../egress/egress.ts';
import { createTurns, timeoutSignal } from '../timing/timing.ts';
import { defined } from '../core/defined.ts';

/** Of one request. A provider that has sent nothing for so long hangs. */
const TIMEOUT_MS = 5_000;
/** Discovery, JWKS and token responses are a few kB; a page of this size is none of them. */
const MAX_BODY_BYTES = 1024 * 1024;
/**
 * A hundred teams of GitHub's have 6,000 values. An attacker's provider answers sixty sign-ins that no one will finish, and the
 * process had no memory left.
 */
const MAX_VALUES = 50_000;
/** Bodies of which something is made in one turn of the event loop; those that wait have their turn by host. */
const bodies = createTurns(1);

/** How a provider is reached. */
export interface Reach {
  /** PEM; called at each request, so that other CAs need no restart. The system's CAs when absent. */
  readonly ca?: () => string;
  /** Absent: directly. */
  readonly proxy?: EgressProxy;
}

/** Returns how a provider is reached, and nothing else of its options. */
export const reachOf = ({ ca, proxy }: Reach): Reach => defined({ ca, proxy });

export interface OutboundOptions extends Reach {
  readonly issuer: URL;
  /** Host names beside the issuer's. */
  readonly hosts: readonly string[];
  /** Our client certificate, for a server that asks for one; called as `ca` is. Absent: none is sent. */
  readonly certificate?: () => CertificatePair;
  /** Called with each response. Only `config probe` uses it: a request contains our credentials. */
  readonly onResponse?: (url: string, request: OutboundRequest, response: Response) => void;
}

/** PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

export interface OutboundRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string | URLSearchParams | Uint8Array | ArrayBuffer | ReadableStream | null | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Outbound = (url: string, request: OutboundRequest) => Promise<Response>;

const FORBIDDEN_IPV4 = [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16], // link-local, the metadata services of most clouds among them
  ['100.100.100.200', 32], // Alibaba Cloud's metadata service
  ['224.0.0.0', 3], // multicast, reserved, broadcast
] as const;

const forbidden = new BlockList();
for (const [network, bits] of FORBIDDEN_IPV4) {
  forbidden.addSubnet(network, bits);
  // The same through a NAT64 gateway (RFC 6052 §2.1): a name server of the attacker's may answer with it.
  forbidden.addSubnet(`64:ff9b::${network}`, 96 + bits, 'ipv6');
}
forbidden.addSubnet('fe80::', 10, 'ipv6');
forbidden.addAddress('fd00:ec2::254', 'ipv6'); // AWS's metadata service
forbidden.addSubnet('ff00::', 8, 'ipv6');
forbidden.addAddress('::', 'ipv6');

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

const isListed = (list: BlockList, address: string): boolean => {
  const plain = plainAddress(address);
  return list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
};

export const isLoopbackHost = (host: string): boolean => {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || (isIP(bare) !== 0 && isListed(loopback, bare));
};

/** A rejection by this guard: nothing was dialled, and neither network nor provider has failed. */
class AddressRejected extends Error {
  /** False: an address that is never dialled, whatever is configured. */
  readonly loopback: boolean;

  constructor(address: string, loopbackAddress: boolean) {
    super(`refusing to connect to ${address}: not an address of an identity provider`);
    this.loopback = loopbackAddress;
  }
}

/**
 * Returns a message for an operator, who would otherwise look for an error of the network.
 * @returns without the address, which comes from DNS; undefined where it was not the guard that rejected
 */
export function guardMessage(thrown: unknown): string | undefined {
  for (let each = thrown; each instanceof Error; each = each.cause) {
    if (!(each instanceof AddressRejected)) continue;
    return each.loopback
      ? 'Portcullis did not connect: its name leads to this machine’s loopback address. That is dialled only where providers[].issuer itself names a loopback host, such as localhost. Check DNS, and providers[].issuer.'
      : 'Portcullis did not connect: its name leads to an address that no provider has (link-local, a cloud’s metadata service, multicast or unspecified). No setting allows it. Check DNS, and providers[].issuer.';
  }
  return undefined;
}

/** @throws AddressRejected where an address must not be dialled for this issuer */
function assertDialable(address: string, issuerIsLoopback: boolean): void {
  if (isListed(forbidden, address)) throw new AddressRejected(address, false);
  if (isListed(loopback, address) && !issuerIsLoopback) throw new AddressRejected(address, true);
}

function guardedLookup(issuerIsLoopback: boolean): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, '', 0);
      try {
        for (const { address } of addresses) assertDialable(address, issuerIsLoopback);
      } catch (rejection) {
        return callback(rejection as NodeJS.ErrnoException, '', 0);
      }
      if (options.all === true) return callback(null, addresses);
      const [first] = addresses;
      return first === undefined
        ? callback(new Error('no address'), '', 0)
        : callback(null, first.address, first.family);
    });
  };
}

/** Checks a URL that discovery names. @throws where it leads away from this provider */
export function assertProviderUrl(value: string, options: OutboundOptions): URL {
  const url = new URL(value);
  const plainAllowed = options.issuer.protocol === 'http:' && isLoopbackHost(options.issuer.hostname);
  if (url.protocol !== 'https:' && !(plainAllowed && url.protocol === 'http:' && isLoopbackHost(url.hostname))) {
    throw new Error(`${url.origin} is not https`);
  }
  if (url.hostname !== options.issuer.hostname && !options.hosts.includes(url.hostname)) {
    throw new Error(`${url.hostname} is neither the issuer's host nor listed in the provider's hosts`);
  }
  return url;
}

/**
 * Creates a fetch that can reach one provider only.
 * @returns a function that rejects on a foreign URL, a redirect, an oversized body, or after 5 seconds
 */
export function createOutbound(options: OutboundOptions): Outbound {
  const issuerIsLoopback = isLoopbackHost(options.issuer.hostname);
  const connections = connectionsUnder(options.proxy, ({ ca, cert, key }) => ({
    timeout: 5_000,
    lookup: guardedLookup(issuerIsLoopback),
    ...defined({ ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  }));
  return async (value, request) => {
    const url = assertProviderUrl(value, options);
    // A literal address never passes through a lookup.
    const literal = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(literal) !== 0) assertDialable(literal, issuerIsLoopback);
    const timeout = timeoutSignal(TIMEOUT_MS);
    const egress = connections({ ca: options.ca?.(), ...options.certificate?.() });
    const response = await fetch(url, {
      method: request.method,
      headers: request.headers,
      body: (request.body ?? null) as string | null,
      redirect: 'manual',
      signal: request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]),
      dispatcher: egress.dispatcher,
    }).catch((error: unknown) => {
      const proxyError = egress.timedOut(error, url);
      // As `fetch` wraps the other errors of a connection.
      throw proxyError === undefined ? error : new TypeError('fetch failed', { cause: proxyError });
    });
    const body = await boundedBody(response.body as ReadableStream<Uint8Array> | null, url.host);
    const whole = new Response(NO_BODY_STATUS.has(response.status) ? null : body, {
      status: response.status,
      statusText: response.statusText,
      headers: Object.fromEntries(response.headers),
    });
    options.onResponse?.(value, request, whole.clone());
    return whole;
  };
}

/** In PEM: the CAs that verify the provider, and our client certificate. */
type Identities = { readonly ca: string | undefined } & Partial<CertificatePair>;

/**
 * Keeps connections that were verified by these CAs and made under this certificate. With others everything is
 * made again, including what TLS remembers of the server: a resumed handshake verifies no certificate. Requests on
 * the old connections still get their responses there.
 */
function connectionsUnder(
  proxy: EgressProxy | undefined,
  connect: (identities: Identities) => EgressOptions['connect'],
): (identities: Identities) => Egress {
  let held: { readonly identities: Identities; readonly egress: Egress } | undefined;
  return (identities) => {
    if (held !== undefined && isSame(held.identities, identities)) return held.egress;
    void held?.egress.dispatcher.close();
    const egress = createEgress({ connect: connect(identities) }, proxy);
    held = { identities, egress };
    return egress;
  };
}

const isSame = (a: Identities, b: Identities): boolean => a.ca === b.ca && a.cert === b.cert && a.key === b.key;

const NO_BODY_STATUS = new Set([204, 205, 304]);

async function boundedBody(stream: ReadableStream<Uint8Array> | null, host: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error(`the provider's answer is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  await bodies.reserve(host);
  const body = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  if (hasMoreValues(body, MAX_VALUES) || hasTokensOfMoreValues(body, MAX_VALUES)) {
    throw new Error(`the provider's answer has more than ${MAX_VALUES} values`);
  }
  return body;
}
