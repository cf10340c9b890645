/**
 * Decides which request targets may pass at all (docs/architecture.md#invariant-3).
 *
 * An attacker sends a path that two readers interpret differently. So whatever Portcullis and the API server (or a
 * load balancer between them) could read differently is rejected, never normalised: the bytes that were evaluated
 * are the bytes that are logged and forwarded.
 */
import { pathInfo } from './request-info.ts';
import { no, ok, type Result } from '../result.ts';

export interface RequestPath {
  /** Exactly as received, and exactly as forwarded. */
  readonly target: string;
  /** `target` up to the question mark; still percent-encoded. */
  readonly path: string;
  /** `target` after the question mark, without it; empty if there is none. */
  readonly query: string;
}

export type PathRejection =
  | 'connect_method'
  | 'method_unknown'
  | 'empty_target'
  | 'target_too_long'
  | 'too_many_parameters'
  | 'asterisk_form' // RFC 9112 §3.2.4
  | 'absolute_form' // RFC 9112 §3.2.2
  | 'authority_form' // RFC 9112 §3.2.3
  | 'forbidden_character' // control, space, quote or anything that is not ASCII
  | 'fragment'
  | 'backslash'
  | 'bad_percent_encoding'
  | 'encoded_dot'
  | 'encoded_slash'
  | 'encoded_backslash'
  | 'encoded_control'
  | 'dot_segment'
  | 'empty_segment';

/** Characters. More than any header limit allows by default; here it bounds the work below. */
export const MAX_TARGET_LENGTH = 32_768;

/**
 * An API server built with Go 1.26 or newer parses no query with more parameters, and goes on as if there were none. An
 * attacker who may list one object by its name would add empty ones: `fieldSelector` would be judged here, and all objects
 * listed there.
 */
const MOST_PARAMETERS = 10_000;

/**
 * The methods with a Kubernetes verb, and OPTIONS for pods and services behind `…/proxy`. An attacker sends TRACE,
 * which returns the request as it arrived, and upstream that contains the proxy's own token (RFC 9110 §9.3.8), so
 * it is rejected.
 */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/**
 * Evaluates a request target.
 * @param target as in the request line, one character per byte
 * @returns its parts, or why it is rejected (RFC 3986 §3.3 and §5.2.4, RFC 9112 §3.2)
 */
export function requestPath(method: string, target: string): Result<RequestPath, PathRejection> {
  if (method.toUpperCase() === 'CONNECT') return no('connect_method');
  if (!METHODS.has(method)) return no('method_unknown');
  if (target === '') return no('empty_target');
  if (target.length > MAX_TARGET_LENGTH) return no('target_too_long');
  if (target === '*') return no('asterisk_form');
  if (!target.startsWith('/')) return no(target.includes('://') ? 'absolute_form' : 'authority_form');

  const characters = characterRejection(target);
  if (characters !== undefined) return no(characters);

  const question = target.indexOf('?');
  const path = question === -1 ? target : target.slice(0, question);
  const query = question === -1 ? '' : target.slice(question + 1);
  const rejection = encodingRejection(path) ?? segmentRejection(path) ?? queryRejection(query);
  return rejection === undefined ? ok({ target, path, query }) : no(rejection);
}

function characterRejection(target: string): PathRejection | undefined {
  if (target.includes('#')) return 'fragment';
  if (target.includes('\\')) return 'backslash';
  // The quote and angle brackets are no URI characters either (RFC 3986 §2), and break out of logs and pages.
  if (/[^!-~]|["<>]/.test(target)) return 'forbidden_character';
  return /%(?![0-9a-f]{2})/i.test(target) ? 'bad_percent_encoding' : undefined;
}

/** Only in the path: a query is data, in which exec's `command=%2Fbin%2Fsh` is valid. */
function encodingRejection(path: string): PathRejection | undefined {
  if (!path.includes('%')) return undefined;
  if (/%2e/i.test(path)) return 'encoded_dot';
  if (/%2f/i.test(path)) return 'encoded_slash';
  if (/%5c/i.test(path)) return 'encoded_backslash';
  if (/%(?:[01][0-9a-f]|7f)/i.test(path)) return 'encoded_control';
  try {
    decodeURIComponent(path);
    return undefined;
  } catch {
    return 'bad_percent_encoding';
  }
}

/** Empty ones count as well, as in Go. */
function queryRejection(query: string): PathRejection | undefined {
  return query.length >= MOST_PARAMETERS && query.split('&').length > MOST_PARAMETERS
    ? 'too_many_parameters'
    : undefined;
}

function segmentRejection(path: string): PathRejection | undefined {
  if (/\/\.{1,2}(?:\/|$)/.test(path)) return 'dot_segment';
  const empty = path.indexOf('//');
  if (empty === -1) return undefined;
  // Below …/proxy/ the rest belongs to the pod or service, for which an empty segment can have a meaning.
  return pathInfo(path.slice(0, empty)).subresource === 'proxy' ? undefined : 'empty_segment';
}
