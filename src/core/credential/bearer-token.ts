/**
 * Reads a request's token: `Authorization: Bearer` (RFC 6750 §2.1), or, from browsers, a WebSocket subprotocol as
 * in Kubernetes. Never both: two tokens could belong to two users.
 */
import { valuesOf, type RawHeaders } from '../http/header-names.ts';
import { no, ok, type Result } from '../result.ts';

const PROTOCOL_PREFIX = 'base64url.bearer.authorization.k8s.io.';

export type BearerRejection =
  | 'authorization_repeated'
  | 'authorization_not_bearer'
  | 'token_malformed'
  | 'token_in_two_places'
  | 'subprotocol_repeated'
  | 'subprotocol_alone'; // no subprotocol would be left for the response (RFC 6455 §4.2.2)

/** RFC 6750 §2.1 b64token. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
const BEARER = /^bearer(?: +|$)/i;

/** @returns the token, undefined if there is none, or why there is not exactly one. Never log it. */
export function bearerToken(raw: RawHeaders): Result<string | undefined, BearerRejection> {
  const authorization = valuesOf(raw, 'authorization');
  const protocols = valuesOf(raw, 'sec-websocket-protocol').flatMap(splitProtocols);
  const carrying = protocols.filter(isBearerProtocol);
  if (authorization.length > 0 && carrying.length > 0) return no('token_in_two_places');
  if (authorization.length > 1) return no('authorization_repeated');
  if (carrying.length > 1) return no('subprotocol_repeated');
  if (carrying.length > 0 && carrying.length === protocols.length) return no('subprotocol_alone');
  if (authorization[0] !== undefined) return fromAuthorization(authorization[0]);
  return carrying[0] === undefined ? ok(undefined) : fromProtocol(carrying[0]);
}

function fromAuthorization(value: string): Result<string, BearerRejection> {
  const text = value.trim();
  const scheme = BEARER.exec(text)?.[0];
  if (scheme === undefined) return no('authorization_not_bearer');
  const token = text.slice(scheme.length);
  return TOKEN.test(token) ? ok(token) : no('token_malformed');
}

function fromProtocol(protocol: string): Result<string, BearerRejection> {
  const encoded = protocol.slice(PROTOCOL_PREFIX.length);
  const token = Buffer.from(encoded, 'base64url').toString('latin1');
  // Only the canonical encoding: Node's decoder skips unknown characters.
  const canonical = Buffer.from(token, 'latin1').toString('base64url') === encoded;
  return canonical && TOKEN.test(token) ? ok(token) : no('token_malformed');
}

/**
 * Returns the subprotocols of one header line without the one that carries a token; an empty string if none is
 * left.
 */
export const withoutBearerProtocol = (value: string): string =>
  splitProtocols(value)
    .filter((protocol) => !isBearerProtocol(protocol))
    .join(', ');

const splitProtocols = (value: string): string[] =>
  value
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '');

/** Case folded, so that a misspelt one is removed as well and never reaches the cluster's logs. */
const isBearerProtocol = (protocol: string): boolean => protocol.toLowerCase().startsWith(PROTOCOL_PREFIX);
