/**
 * Redaction: removes secrets from a line of the operator's log.
 *
 * Logs are copied to places where credentials must never be, and any object may be logged one day: a request with
 * its headers, an error with a provider's response. An attacker who reads logs could use such a credential. So
 * redaction works on the finished line, however a value got into it, by the names of keys and by the form of
 * values.
 */
import { ERROR_CODES } from '../core/errors.ts';

const REDACTED = '[redacted]';

/** Compared without case, `-` and `_`, so that `refresh_token`, `refreshToken` and `Refresh-Token` are the same. */
const SECRET_KEYS: ReadonlySet<string> = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'cookies',
  'setcookie',
  'usercode',
  'devicecode',
  'codeverifier',
  'nonce',
  'assertion',
  'clientassertion',
  'subjecttoken',
  'jwt',
  'jwk',
  'jwks',
  'pin',
  // Carries a bearer token of Kubernetes' WebSocket clients.
  'secwebsocketprotocol',
]);
const SECRET_PARTS = /token|secret|password|passwd|passphrase|privatekey|apikey|credential|sealingkey|signingkey/;
/** Names that only describe a secret: where it is stored, which one it is. */
const HARMLESS = /(?:file|dir|type|id|endpoint)$/;

/**
 * `code` is an OAuth code unless it has the form of an error code of the system, of Node, zlib or OpenSSL: `ECONNREFUSED`,
 * or with `_`, such as `ERR_HTTP2_ERROR`, `Z_DATA_ERROR` and `CERT_HAS_EXPIRED`. An attacker who reads logs could redeem an
 * authorization code, and some issuers' codes are letters of one case alone. So no single word passes, except for a
 * short one that begins as errno names do, and a word has no more digits than `ED25519`.
 */
const ERROR_CODE = /^(?:E[A-Z0-9]{2,14}|[A-Z]{1,20}\d{0,5}(?:_[A-Z]{1,20}\d{0,5}){1,8})$/;
/** Our own codes (`store_unavailable`, `conflict`), accepted only next to a stack, so in an error. */
const OWN_CODES: ReadonlySet<unknown> = new Set(ERROR_CODES);
/** `state` is OAuth's (random) or a plain word such as `applied`. */
const PLAIN_WORD = /^[a-z]{1,15}(?:-[a-z]{1,15})?$/;

const URL_KEYS: ReadonlySet<string> = new Set([
  'url',
  'uri',
  'href',
  'location',
  'referer',
  'referrer',
  'requesturi',
  'requesturl',
  'originalurl',
  'redirecturi',
  'path',
  'target',
]);

// The text can be hostile and long, so each pattern below is linear: bounded, or unable to begin within its own
// match.

/** Dotted text of three or more parts; a token if one of them begins as a JSON object does (RFC 7515 §3.1). */
const DOTTED = /(?<![\w-])[\w-]+(?:\.[\w-]*){2,}/g;
/** A token after its scheme, or in the subprotocol of Kubernetes' WebSocket clients. */
const AFTER_SCHEME = /\b(bearer|basic|dpop)(\s+|%20)[\w.~+/=-]{8,}/gi;
const SUBPROTOCOL = /(base64url\.bearer\.authorization\.k8s\.io\.)[\w-]+/gi;
const PRIVATE_KEY = /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|$)/g;
/** `scheme://name:password@host/path?query#fragment`, anywhere in the text. */
const ABSOLUTE_URL = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)([^\s?#"'<>]*@)?([^\s?#"'<>]*)(?:[?#][^\s"'<>]*)?/gi;
/** `code=…` as in a query or a form; `code=1` is an exit code. */
const SECRET_PARAMETER =
  /\b([\w-]{0,32}(?:token|secret|password|assertion|verifier)|(?:user_|device_)?code(?!=\d{1,3}(?:[\s&"'<>,;:)\]]|\.?(?:\s|$)))|state|nonce)=[^\s&"'<>]+/gi;

/** Returns the path of a URL reference: query and fragment carry codes and tokens. */
const withoutQuery = (url: string): string => url.replace(/[?#].*$/s, '');

function redactText(text: string): string {
  return text
    .replace(PRIVATE_KEY, REDACTED)
    .replace(SUBPROTOCOL, `$1${REDACTED}`)
    .replace(AFTER_SCHEME, `$1 ${REDACTED}`)
    .replace(DOTTED, (run) => (run.includes('eyJ') ? REDACTED : run))
    .replace(ABSOLUTE_URL, (_url, scheme: string, userinfo: string | undefined, rest: string) =>
      userinfo === undefined ? `${scheme}${rest}` : `${scheme}${REDACTED}@${rest}`,
    )
    .replace(SECRET_PARAMETER, `$1=${REDACTED}`);
}

/** @param name the key, in lower case without `-` and `_` */
function isSecret(name: string, value: unknown, besideStack: boolean): boolean {
  if (value === null || typeof value === 'boolean') return false;
  if (name === 'code') {
    if (typeof value === 'number') return false;
    return typeof value !== 'string' || !(ERROR_CODE.test(value) || (besideStack && OWN_CODES.has(value)));
  }
  if (name === 'state') return typeof value !== 'string' || !PLAIN_WORD.test(value);
  return SECRET_KEYS.has(name) || (SECRET_PARTS.test(name) && !HARMLESS.test(name));
}

/**
 * Returns a copy of a JSON value without secrets: values of secret-like keys are replaced at any depth, URLs lose
 * their query, and text loses whatever looks like a token.
 */
export function redact(value: unknown, key = '', besideStack = false): unknown {
  const name = key.toLowerCase().replaceAll(/[-_]/g, '');
  if (isSecret(name, value, besideStack)) return REDACTED;
  if (typeof value === 'string') return redactText(URL_KEYS.has(name) ? withoutQuery(value) : value);
  if (Array.isArray(value)) return redactArray(value, key);
  if (typeof value !== 'object' || value === null) return value;
  const isError = 'stack' in value;
  return Object.fromEntries(
    Object.entries(value).map(([inner, field]) => [redactText(inner), redact(field, inner, isError)]),
  );
}

/** Raw headers are a flat list of names and values (`rawHeaders` of node:http): there the name precedes the value. */
function redactArray(values: readonly unknown[], key: string): unknown[] {
  return values.map((value, index) => {
    const before = values[index - 1];
    const isHeaderValue = index % 2 === 1 && typeof before === 'string' && typeof value === 'string';
    return redact(value, isHeaderValue ? before : key);
  });
}
