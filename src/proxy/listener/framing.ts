/**
 * Rejects requests that a parser accepts and another reader could read differently, before anything is decided
 * about them.
 */
import type { IncomingMessage } from 'node:http';
import type { ClientRequest } from './client.ts';
import { valuesOf } from '../raw-headers.ts';
import { malformed } from '../rejections.ts';
import type { Rejection } from '../status.ts';

/**
 * More lines than any client sends, however short each is. The limit in bytes does not count the separators between
 * names and values.
 */
export const MAX_HEADERS = 1000;

const hostConflict = (): Rejection => malformed('the Host of the request is not valid', 'host_conflict');

export const headersTooLarge = (): Rejection => malformed('the headers are too large', 'headers_too_large', 431);

/** Resets the connection (`HeadSizes`). */
export const headersFlood = (): Rejection => malformed('the headers are much too large', 'headers_flood', 431);

/** An `Expect` that is not `100-continue` (RFC 9110 §10.1.1). */
export const unknownExpectation = (): Rejection =>
  malformed('this expectation cannot be met', 'expectation_unknown', 417);

/** CONNECT asks for a tunnel to anywhere; it is rejected and audited as any other request. */
export const connectRejection = (): Rejection => malformed('CONNECT is not allowed here', 'connect_method');

/**
 * An upgrade or a CONNECT behind requests without a response. Node passes the socket on although their responses
 * are still to be written to it, so two would write there. No client does this (RFC 9112 §9.3.2 leaves pipelining
 * to those that can repeat).
 */
export const pipelinedUpgrade = (): Rejection =>
  malformed('an upgrade cannot follow a request that is not answered yet', 'upgrade_pipelined');

/** The first request beyond what a connection may pipeline. It counts as an upgrade for Node (`pipelining.ts`). */
export const tooManyPipelined = (): Rejection =>
  malformed('too many requests of this connection are not answered yet', 'pipelined_requests');

/** Rejects the ambiguous requests that Node's parser accepts. */
export function http1Rejection(req: IncomingMessage): Rejection | undefined {
  if (req.rawHeaders.length > 2 * MAX_HEADERS) return headersTooLarge();
  const encodings = valuesOf(req.rawHeaders, 'transfer-encoding');
  const plain = encodings.length === 0 || (encodings.length === 1 && encodings[0]?.toLowerCase() === 'chunked');
  // HTTP/1.0 has no transfer coding (RFC 9112 §6.1), and the parser accepts 0.9 and 2.0 as well.
  if (!plain || (encodings.length > 0 && req.httpVersion === '1.0')) {
    return malformed('only the transfer coding chunked is understood', 'transfer_coding');
  }
  if (req.httpVersion !== '1.1' && req.httpVersion !== '1.0')
    return malformed('only HTTP/1.1 is spoken here', 'http_version');
  // Even where they agree (RFC 9112 §3.2).
  return valuesOf(req.rawHeaders, 'host').length > 1 ? hostConflict() : undefined;
}

/**
 * Rejects two hosts that differ, `:authority` among them (RFC 9113 §8.3.1): for our own endpoints over HTTP/2.
 * Elsewhere the choice of the cluster checks them.
 */
export function hostRejection(raw: readonly string[]): Rejection | undefined {
  const hosts = new Set(valuesOf(raw, 'host').map((host) => host.toLowerCase()));
  return hosts.size > 1 ? hostConflict() : undefined;
}

/**
 * Heads beyond the limits that are rejected with a response on one connection: as many as are in this number of
 * times the limit. A client that has read our SETTINGS sends none.
 */
const MOST_OVERSIZED = 8;

/**
 * Judges the size of the heads of one HTTP/2 connection.
 *
 * The parser does not enforce the limit for a client that never acknowledges our SETTINGS. An attacker without a
 * credential refers 900 times to one long header that the parser remembers: a kilobyte becomes a head of 3.6 MB, and
 * 14,000 of them, each with its response, took 400 MB. So a connection is reset after few of them, and at once at one
 * that is several times too large.
 */
export class HeadSizes {
  readonly #limit: number;
  #oversized = 0;

  /** @param headerBytes the limit of names and values together */
  constructor(headerBytes: number) {
    this.#limit = headerBytes;
  }

  /**
   * Counts the head of one more request.
   * @param raw the head with its pseudo-headers
   * @returns `flood`: the connection must be reset
   */
  judge(raw: readonly string[]): 'good' | 'too_large' | 'flood' {
    const bytes = raw.reduce((sum, part) => sum + part.length, 0);
    if (bytes <= this.#limit && raw.length <= 2 * MAX_HEADERS) return 'good';
    this.#oversized += Math.max(bytes, this.#limit);
    return this.#oversized > MOST_OVERSIZED * this.#limit ? 'flood' : 'too_large';
  }
}

/**
 * Rejects the ambiguous requests that nghttp2 accepts. It has rejected connection-specific headers, repeated and
 * misplaced pseudo-headers, a second Host line, and a body whose length differs from its header.
 * @param raw the head with its pseudo-headers
 */
export function http2Rejection(request: ClientRequest, raw: readonly string[]): Rejection | undefined {
  if (request.method === 'CONNECT') return connectRejection();
  if (valuesOf(raw, ':scheme')[0] !== 'https') return malformed('only https is spoken here', 'scheme');
  return valuesOf(raw, 'expect').length > 0 && !request.expectsContinue ? unknownExpectation() : undefined;
}
