/** The form of a row of the corpus: bytes in, responses out, bytes at the API server, and the audit events. */

/** A request as the API server must see it. Everything that is not named here is added by the proxy, and is compared as well. */
export interface Reached {
  /** Method and target. */
  readonly line: string;
  /** Header lines of the client's that pass, as they arrive. */
  readonly headers?: readonly string[];
  /** Bytes after the head, chunk framing included. */
  readonly body?: string;
}

export interface Attack {
  readonly name: string;
  /**
   * `TOKEN`, `HOST` and `BASE64TOKEN` stand for valid ones. Lines end with `\n` here and with CRLF on the wire, unless `exact`. One character
   * a byte.
   */
  readonly bytes: string;
  /** Status codes of the responses, interim ones included. Empty: the connection is closed without one. */
  readonly statuses: readonly number[];
  /** The reasons of each rejection in the metrics, and in the audit event if there is one. */
  readonly reasons: readonly string[];
  /** Every byte that reaches the API server. Empty: not one. */
  readonly reached: readonly Reached[];
  /** SubjectAccessReviews that the proxy makes for it, as `resource name`; the API server denies each. Absent: none. */
  readonly reviews?: readonly string[];
  /** Send `bytes` as they are. */
  readonly exact?: true;
  /** Send no client certificate. */
  readonly anonymous?: true;
  /** SNI, where it is not the cluster's host. Null: none. */
  readonly servername?: string | null;
  /** Reasons in the audit log, where they are not those of the metrics. */
  readonly recorded?: readonly string[];
}

export const PODS = '/api/v1/namespaces/default/pods';
export const AUTH = 'Host: HOST\nAuthorization: Bearer TOKEN\n';

export const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\n${AUTH}${more}\n`;
export const post = (headers: string, body = '', target = PODS): string =>
  `POST ${target} HTTP/1.1\n${AUTH}${headers}\n${body}`;

export const refused = (name: string, bytes: string, status: number, reason: string): Attack => ({
  name,
  bytes,
  statuses: [status],
  reasons: [reason],
  reached: [],
});

/** A head that is more than the parser takes. */
export const tooLarge = (name: string, bytes: string): Attack => refused(name, bytes, 431, 'headers_too_large');

/** The parser fails: the connection gets a response and is closed. */
export const unparsed = (name: string, bytes: string, more: Partial<Attack> = {}): Attack => ({
  ...refused(name, bytes, 400, 'malformed_request'),
  ...more,
});

/** The parser fails after a head that was complete: the connection is reset, and nothing of it is dialled. */
export const reset = (name: string, bytes: string, more: Partial<Attack> = {}): Attack => ({
  ...unparsed(name, bytes),
  statuses: [],
  recorded: ['malformed_request', 'client_gone'],
  ...more,
});

export const passed = (name: string, bytes: string, reached: Reached | string = `GET ${PODS}`): Attack => ({
  name,
  bytes,
  statuses: [200],
  reasons: [],
  reached: [typeof reached === 'string' ? { line: reached } : reached],
});
