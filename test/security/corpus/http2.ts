/** The same over HTTP/2, where the framing is another and the tricks are others. */
import type { Reached } from '../attack.ts';
import { PODS } from '../attack.ts';
import { CONTINUATION, DATA, END_HEADERS, END_STREAM, frame, headerBlock, PING } from '../../support/http2-frames.ts';
import { data, HEAD, headers, longHeaders, PUSH_PROMISE, WINDOW_UPDATE } from '../http2-frames.ts';
import type { Fields } from '../http2-frames.ts';

export interface Http2Attack {
  readonly name: string;
  /** Frames after the preface and the SETTINGS. `named` inserts the valid token and host. */
  readonly frames: (named: (fields: Fields) => Fields) => readonly Buffer[];
  /** As `answersIn` returns it. */
  readonly answers: readonly string[];
  readonly reasons: readonly string[];
  /** Reasons in the audit log, where they are not those of the metrics. */
  readonly recorded?: readonly string[];
  readonly reached: readonly Reached[];
}

type Edit = (fields: Fields) => Fields;

const GOOD: Fields = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'HOST'],
  [':path', PODS],
  ['authorization', 'Bearer TOKEN'],
];
const with_ =
  (...more: Fields): Edit =>
  (fields) => [...fields, ...more];
const front =
  (...more: Fields): Edit =>
  (fields) => [...more, ...fields];
const set =
  (name: string, value: string): Edit =>
  (fields) =>
    fields.map((field) => (field[0] === name ? ([name, value] as const) : field));
const without =
  (name: string): Edit =>
  (fields) =>
    fields.filter((field) => field[0] !== name);
const late =
  (name: string): Edit =>
  (fields) => [...fields.filter((field) => field[0] !== name), ...fields.filter((field) => field[0] === name)];

const one =
  (...edits: readonly Edit[]): Http2Attack['frames'] =>
  (named) => [headers(named(edits.reduce((fields, edit) => edit(fields), GOOD)))];

/** nghttp2 finds the message malformed (RFC 9113 §8.1.1): the stream ends, and nothing is known of it. */
const malformed = (name: string, ...edits: readonly Edit[]): Http2Attack => ({
  name,
  frames: one(...edits),
  answers: ['reset PROTOCOL_ERROR'],
  reasons: [],
  reached: [],
});
const refused = (name: string, status: number, reason: string, ...edits: readonly Edit[]): Http2Attack => ({
  name,
  frames: one(...edits),
  answers: [String(status)],
  reasons: [reason],
  reached: [],
});
const passed = (name: string, reached: Reached | undefined, ...edits: readonly Edit[]): Http2Attack => ({
  name,
  frames: one(...edits),
  answers: ['200'],
  reasons: [],
  reached: [reached ?? { line: `GET ${PODS}` }],
});
const broken = (
  name: string,
  code: string,
  frames: Http2Attack['frames'],
  more: Partial<Http2Attack> = {},
): Http2Attack => ({
  name,
  frames,
  answers: [`goaway ${code}`],
  // The connection ends, and there is no request to audit.
  reasons: ['http2_error'],
  recorded: [],
  reached: [],
  ...more,
});

const PSEUDO: readonly Http2Attack[] = [
  passed('a good request', undefined),
  malformed('two :path', with_(), front([':path', '/api/v1/secrets'])),
  malformed('two :method', front([':method', 'DELETE'])),
  malformed('two :authority', front([':authority', 'other.test'])),
  malformed('no :path', without(':path')),
  malformed('no :method', without(':method')),
  malformed('no :scheme', without(':scheme')),
  malformed('an empty :path', set(':path', '')),
  malformed('a late :path', late(':path')),
  malformed('a late :authority', late(':authority')),
  malformed('a pseudo-header that is for responses', front([':status', '200'])),
  malformed('a pseudo-header that does not exist', front([':user', 'root'])),
  malformed(':path in capitals', without(':path'), front([':Path', PODS])),
  malformed('a :path without its slash', set(':path', 'api/v1/pods')),
  malformed('a :path with a space', set(':path', '/api/v1/pods HTTP/1.1')),
  malformed('a :path with a line break', set(':path', '/api/v1/pods\r\nX: y')),
  malformed('a :method with a line break', set(':method', 'GET\r\nX')),
  malformed('a :method with a space', set(':method', 'GET /api/v1/secrets HTTP/1.1')),
  refused('dot segments', 400, 'dot_segment', set(':path', `${PODS}/../../secrets`)),
  refused('an encoded slash', 400, 'encoded_slash', set(':path', '/api/v1/namespaces/a%2fb')),
  malformed('absolute form', set(':path', `https://HOST${PODS}`)),
  refused('asterisk form', 400, 'asterisk_form', set(':method', 'OPTIONS'), set(':path', '*')),
  refused('a fragment', 400, 'fragment', set(':path', `${PODS}#/secrets`)),
  refused('bytes beyond ASCII', 400, 'forbidden_character', set(':path', '/api/v1/pods/\u00c3\u00a9')),
  refused('TRACE', 400, 'method_unknown', set(':method', 'TRACE')),
  refused('a method in lower case', 400, 'method_unknown', set(':method', 'get')),
  refused('a method that does not exist', 400, 'method_unknown', set(':method', 'FROBNICATE')),
  refused('another scheme', 400, 'scheme', set(':scheme', 'http')),
  refused('CONNECT', 400, 'connect_method', set(':method', 'CONNECT'), without(':path'), without(':scheme')),
  malformed('CONNECT with a path', set(':method', 'CONNECT')),
  malformed('extended CONNECT, which is not offered', set(':method', 'CONNECT'), front([':protocol', 'websocket'])),
  {
    name: 'our own endpoints are not the cluster’s',
    frames: one(set(':path', '/-/oauth/token')),
    answers: ['204'],
    reasons: [],
    reached: [],
  },
];

const HOSTS: readonly Http2Attack[] = [
  refused('a Host that differs', 400, 'host_conflict', with_(['host', 'other.test'])),
  passed('a Host that agrees', undefined, with_(['host', 'HOST'])),
  malformed('two Hosts', with_(['host', 'HOST'], ['host', 'HOST'])),
  passed('a Host instead of :authority', undefined, without(':authority'), with_(['host', 'HOST'])),
  refused('a :authority that is unknown', 404, 'cluster_unknown', set(':authority', 'elsewhere.test')),
  malformed('a :authority with user info', set(':authority', 'x@HOST')),
  passed('a :authority in capitals, with port and dot', undefined, set(':authority', 'PROD.K8S.TEST.:6443')),
];

const HEADERS: readonly Http2Attack[] = [
  malformed('Connection', with_(['connection', 'close'])),
  malformed('Connection that names a header of ours', with_(['connection', 'impersonate-user'])),
  malformed('Transfer-Encoding', with_(['transfer-encoding', 'chunked'])),
  malformed('Upgrade', with_(['upgrade', 'websocket'])),
  malformed('Keep-Alive', with_(['keep-alive', 'timeout=5'])),
  malformed('Proxy-Connection', with_(['proxy-connection', 'keep-alive'])),
  malformed('TE with anything but trailers', with_(['te', 'gzip'])),
  passed('TE with trailers is dropped', undefined, with_(['te', 'trailers'])),
  malformed('a name in capitals', with_(['Accept', 'x'])),
  refused(
    'Impersonate-User with a space before its value',
    400,
    'impersonation_malformed',
    with_(['impersonate-user', ' root']),
  ),
  refused(
    'Impersonate-User with a space behind its value',
    400,
    'impersonation_malformed',
    with_(['impersonate-user', 'root ']),
  ),
  passed(
    'what Impersonate and its kin are named after stays here',
    undefined,
    with_(['x-remote-user', 'root'], ['x_forwarded_for', '1'], ['audit-id', 'a'], ['cookie', 'a=b']),
  ),
  refused('Impersonate-Group alone', 400, 'impersonation_without_user', with_(['impersonate-group', 'system:masters'])),
  refused('Impersonate_Uid alone', 400, 'impersonation_without_user', with_(['impersonate_uid', '0'])),
  refused('two Authorization lines', 401, 'authorization_repeated', with_(['authorization', 'Bearer TOKEN'])),
  refused('no token', 401, 'no_token', without('authorization')),
  refused(
    'a subprotocol with a token next to Authorization',
    401,
    'token_in_two_places',
    with_(['sec-websocket-protocol', 'a, base64url.bearer.authorization.k8s.io.BASE64TOKEN']),
  ),
  refused('an expectation that does not exist', 417, 'expectation_unknown', with_(['expect', 'the-unexpected'])),
];

/**
 * nghttp2 silently drops what can be no header at all (RFC 9113 §8.2.1); Node cannot change that. No client library sends such a field, and
 * the user's own request is forwarded without it.
 */
const dropped = (name: string, header: string, value: string): Http2Attack =>
  passed(`${name} is dropped`, undefined, with_([header, value]));

const IMPOSSIBLE: readonly Http2Attack[] = [
  dropped('a name with a space', 'impersonate-user ', 'root'),
  dropped('a name with a colon', 'impersonate-user: root', 'x'),
  dropped('an empty name', '', 'x'),
  dropped('a name with a line break', 'a\r\nimpersonate-user', 'root'),
  dropped('a value with a NUL', 'impersonate-user', 'ro\u0000ot'),
  dropped('a value with a line break', 'accept', 'a\r\nimpersonate-user: root'),
  dropped('a value with a bare carriage return', 'accept', 'a\rimpersonate-user: root'),
];

const post =
  (...edits: readonly Edit[]): Edit =>
  (fields) =>
    edits.reduce((sum, edit) => edit(sum), set(':method', 'POST')(fields));
const withBody =
  (edit: Edit, ...rest: readonly Buffer[]): Http2Attack['frames'] =>
  (named) => [headers(named(edit(GOOD)), END_HEADERS), ...rest];
const POSTED = { line: `POST ${PODS}`, headers: ['Content-Length: 2'], body: '{}' };
const length = (value: string): Edit => post(with_(['content-length', value]));

const BODIES: readonly Http2Attack[] = [
  { ...passed('a body of its length', POSTED), frames: withBody(length('2'), data('{}')) },
  {
    // Ends the connection, and with it no streams but that client's own.
    ...broken('a body that is longer than it says', 'INTERNAL_ERROR', withBody(length('2'), data('{}}'))),
    recorded: ['client_gone'],
  },
  {
    ...malformed('two lengths that differ'),
    frames: withBody(post(with_(['content-length', '2'], ['content-length', '3'])), data('{}')),
  },
  { ...malformed('a length with a sign'), frames: withBody(length('+2'), data('{}')) },
  { ...malformed('a length that is a list'), frames: withBody(length('2, 2'), data('{}')) },
  { ...malformed('a length and no body'), frames: (named) => [headers(named(length('2')(GOOD)))] },
  {
    ...passed('trailers stay here', POSTED),
    frames: withBody(
      length('2'),
      data('{}', 0),
      headers([
        ['impersonate-user', 'root'],
        ['x-remote-user', 'root'],
      ]),
    ),
  },
];

const FRAMES: readonly Http2Attack[] = [
  broken('DATA on no stream', 'PROTOCOL_ERROR', () => [frame(DATA, 0, 0, Buffer.from('x'))]),
  broken('DATA on a stream that was never opened', 'PROTOCOL_ERROR', () => [data('x')]),
  broken('HEADERS on an even stream', 'PROTOCOL_ERROR', (named) => [headers(named(GOOD), END_STREAM | END_HEADERS, 2)]),
  broken('CONTINUATION of nothing', 'PROTOCOL_ERROR', () => [frame(CONTINUATION, END_HEADERS, 1, headerBlock(GOOD))]),
  broken('another frame in the middle of a head', 'PROTOCOL_ERROR', (named) => [
    headers(named(GOOD), END_STREAM),
    frame(PING, 0, 0, Buffer.alloc(8)),
  ]),
  broken('a header block that is no HPACK', 'COMPRESSION_ERROR', () => [
    frame(HEAD, END_STREAM | END_HEADERS, 1, Buffer.from([0x80])),
  ]),
  broken('a table that is larger than was agreed', 'COMPRESSION_ERROR', () => [
    frame(HEAD, END_STREAM | END_HEADERS, 1, Buffer.from([0x3f, 0xff, 0xff, 0x7f])),
  ]),
  broken('a promise by a client', 'PROTOCOL_ERROR', () => [
    frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.from([0, 0, 0, 2])),
  ]),
  broken('a PING of another size', 'FRAME_SIZE_ERROR', () => [frame(PING, 0, 0, Buffer.alloc(7))]),
  broken('a window that grows beyond its bound', 'FLOW_CONTROL_ERROR', () => [
    frame(WINDOW_UPDATE, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
  ]),
  broken('a frame that is larger than was agreed', 'FRAME_SIZE_ERROR', () => [frame(DATA, 0, 1, Buffer.alloc(20_000))]),
];

const long =
  (size: number, ...edits: readonly Edit[]): Http2Attack['frames'] =>
  (named) => [longHeaders(named(edits.reduce((fields, edit) => edit(fields), GOOD)), size)];
const tooLarge = (name: string, edit: Edit): Http2Attack => ({
  ...refused(name, 431, 'headers_too_large'),
  frames: long(16_000, edit),
});
const short = (count: number): Fields => Array.from({ length: count }, () => ['a', ''] as const);

const LIMITS: readonly Http2Attack[] = [
  { ...passed('a head in a few frames', undefined), frames: long(250) },
  broken('a head in very many frames', 'INTERNAL_ERROR', long(20)),
  tooLarge('headers beyond the limit', with_(['x-long', 'a'.repeat(20_000)])),
  tooLarge('a target beyond the limit', set(':path', `/${'a'.repeat(20_000)}`)),
  tooLarge('a thousand headers', with_(...short(1000))),
  {
    ...refused('Impersonate-Group behind all headers that are taken', 400, 'impersonation_without_user'),
    frames: long(16_000, with_(...short(990), ['impersonate-group', 'root'])),
  },
];

export const HTTP2: Readonly<Record<string, readonly Http2Attack[]>> = {
  PSEUDO,
  HOSTS,
  HEADERS,
  IMPOSSIBLE,
  BODIES,
  FRAMES,
  LIMITS,
};
