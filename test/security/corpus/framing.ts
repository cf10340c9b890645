/** Where a request ends: a request whose end two parsers could see differently is rejected, and a second request is checked by itself. */
import { AUTH, get, passed, PODS, post, refused, reset, tooLarge, unparsed } from '../attack.ts';
import type { Attack } from '../attack.ts';

const chunked = (body: string, coding = 'Transfer-Encoding: chunked\n'): string => post(coding, body);
const HELLO = '5\nhello\n0\n\n';
const exact = { exact: true } as const;
const raw = (...lines: string[]): string => lines.join('\r\n');

const LENGTHS: readonly Attack[] = [
  unparsed('length and chunked together', post('Content-Length: 5\nTransfer-Encoding: chunked\n', '0\n\n')),
  unparsed('chunked and length together', post('Transfer-Encoding: chunked\nContent-Length: 5\n', '0\n\n')),
  unparsed('two lengths that differ', post('Content-Length: 5\nContent-Length: 6\n', 'hello')),
  unparsed('two lengths that agree', post('Content-Length: 5\nContent-Length: 5\n', 'hello')),
  unparsed('a length with a sign', post('Content-Length: +5\n', 'hello')),
  unparsed('a negative length', post('Content-Length: -5\n', 'hello')),
  unparsed('a length in hexadecimal', post('Content-Length: 0x5\n', 'hello')),
  unparsed('a list as length', post('Content-Length: 5, 5\n', 'hello')),
  unparsed('a length with a space in it', post('Content-Length: 5 5\n', 'hello')),
  unparsed('a length with a fraction', post('Content-Length: 5.0\n', 'hello')),
  unparsed('an empty length', post('Content-Length:\n', 'hello')),
  unparsed('a length beyond 64 bits', post('Content-Length: 18446744073709551621\n', 'hello')),
  passed('a length with zeros in front', post('Content-Length: 005\n', 'hello'), {
    line: `POST ${PODS}`,
    headers: ['Content-Length: 5'],
    body: 'hello',
  }),
  passed('a length with an underscore is none', get(PODS, 'Content_Length: 5\n')),
];

/** The parser would reset after this; the response to the head is sent before that. */
const unknownCoding = (name: string, bytes: string): Attack => ({
  ...refused(name, bytes, 400, 'transfer_coding'),
  reasons: ['transfer_coding', 'malformed_request'],
});

const CODINGS: readonly Attack[] = [
  passed('chunked', chunked(HELLO), { line: `POST ${PODS}`, headers: ['Transfer-Encoding: chunked'], body: HELLO }),
  unparsed('a coding hidden by a tab', chunked('0\n\n', 'Transfer-Encoding:\tchunked, identity\n')),
  refused('a coding under chunked', chunked('0\n\n', 'Transfer-Encoding: gzip, chunked\n'), 400, 'transfer_coding'),
  unparsed('chunked twice in a list', chunked('0\n\n', 'Transfer-Encoding: chunked, chunked\n')),
  unparsed('two codings', chunked('0\n\n', 'Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n')),
  unknownCoding('a coding that ends in chunked', chunked(HELLO, 'Transfer-Encoding: xchunked\n')),
  unknownCoding('a coding that starts with chunked', chunked(HELLO, 'Transfer-Encoding: chunkedx\n')),
  unknownCoding('identity', chunked(HELLO, 'Transfer-Encoding: identity\n')),
  unparsed('a vertical tab before chunked', chunked(HELLO, 'Transfer-Encoding: \u000bchunked\n')),
  unparsed('a form feed after chunked', chunked(HELLO, 'Transfer-Encoding: chunked\u000c\n')),
  unknownCoding('chunked in quotes', chunked(HELLO, 'Transfer-Encoding: "chunked"\n')),
  unknownCoding('chunked with a parameter', chunked(HELLO, 'Transfer-Encoding: chunked;q=1\n')),
  unparsed('an empty coding', chunked(HELLO, 'Transfer-Encoding:\n')),
  refused('chunked after an empty element', chunked(HELLO, 'Transfer-Encoding: , chunked\n'), 400, 'transfer_coding'),
  unparsed('chunked before an empty element', chunked(HELLO, 'Transfer-Encoding: chunked,\n')),
  passed('chunked in capitals', chunked(HELLO, 'TRANSFER-ENCODING: CHUNKED\n'), {
    line: `POST ${PODS}`,
    headers: ['Transfer-Encoding: chunked'],
    body: HELLO,
  }),
  passed('a coding with an underscore is none', get(PODS, 'Transfer_Encoding: chunked\n')),
  unparsed('a space between name and colon', chunked(HELLO, 'Transfer-Encoding : chunked\n')),
  refused('chunked in HTTP/1.0', chunked(HELLO).replace('HTTP/1.1', 'HTTP/1.0'), 400, 'transfer_coding'),
];

const CHUNKS: readonly Attack[] = [
  passed('a chunk extension stays here', chunked('5;a=b\nhello\n0\n\n'), {
    line: `POST ${PODS}`,
    headers: ['Transfer-Encoding: chunked'],
    body: HELLO,
  }),
  passed('trailers stay here', chunked('5\nhello\n0\nImpersonate-User: root\nX-Remote-User: root\n\n'), {
    line: `POST ${PODS}`,
    headers: ['Transfer-Encoding: chunked'],
    body: HELLO,
  }),
  reset('a chunk size that is no number', chunked('zz\nhello\n0\n\n')),
  reset('a chunk size with 0x', chunked('0x5\nhello\n0\n\n')),
  reset('a chunk size with a sign', chunked('+5\nhello\n0\n\n')),
  reset('a chunk size beyond 64 bits', chunked('10000000000000005\nhello\n0\n\n')),
  reset('a chunk that is longer than it says', chunked('4\nhello\n0\n\n')),
  reset('a chunk size behind a bare line feed', `${chunked('').replaceAll('\n', '\r\n')}5\nhello\r\n0\r\n\r\n`, exact),
  reset(
    'a chunk that ends with a bare line feed',
    `${chunked('').replaceAll('\n', '\r\n')}5\r\nhello\n0\r\n\r\n`,
    exact,
  ),
  reset(
    'a line feed inside a chunk extension',
    `${chunked('').replaceAll('\n', '\r\n')}5;a\nb\r\nhello\r\n0\r\n\r\n`,
    exact,
  ),
  reset('a trailer with a NUL', chunked('0\nX: a\u0000b\n\n')),
  reset('a folded trailer', chunked('0\nX: a\n b\n\n')),
];

const HEADS: readonly Attack[] = [
  unparsed('a space before the colon', `GET ${PODS} HTTP/1.1\nHost: HOST\nAuthorization : Bearer TOKEN\n\n`),
  unparsed('a folded header', get(PODS, 'X-A: b\n Impersonate-User: root\n')),
  unparsed('a header folded by a tab', get(PODS, 'X-A: b\n\tImpersonate-User: root\n')),
  unparsed('a space before the first header', `GET ${PODS} HTTP/1.1\n Host: HOST\n${AUTH}\n`),
  unparsed('a header without a name', get(PODS, ': b\n')),
  unparsed('a header without a colon', get(PODS, 'Impersonate-User\n')),
  unparsed('a NUL in a value', get(PODS, 'Accept: a\u0000b\n')),
  unparsed('a NUL in a name', get(PODS, 'Acc\u0000ept: a\n')),
  unparsed('a control character in a value', get(PODS, 'Accept: a\u0001b\n')),
  unparsed('a name beyond ASCII', get(PODS, 'Acc\u00e9pt: a\n')),
  unparsed('lines without carriage returns', get(PODS), exact),
  unparsed(
    'one line without a carriage return',
    raw(`GET ${PODS} HTTP/1.1`, 'Host: HOST', 'X-A: b\nX-B: c', '', ''),
    exact,
  ),
  unparsed(
    'a carriage return in a value',
    raw(`GET ${PODS} HTTP/1.1`, 'Host: HOST', 'X-A: b\rImpersonate-User: root', '', ''),
    exact,
  ),
  unparsed(
    'a head that ends with a bare line feed',
    raw(`GET ${PODS} HTTP/1.1`, 'Host: HOST', 'Authorization: Bearer TOKEN', '\n'),
    exact,
  ),
  unparsed(
    'a head that ends with bare carriage returns',
    raw(`GET ${PODS} HTTP/1.1`, 'Host: HOST', 'X-A: b\r\rGET / HTTP/1.1', '', ''),
    exact,
  ),
  tooLarge('headers beyond the limit', get(PODS, `X-Long: ${'a'.repeat(20_000)}\n`)),
  refused('very many headers', get(PODS, 'A:b\n'.repeat(2500)), 431, 'headers_too_large'),
  tooLarge('a value that is longer than the limit in one name', get(PODS, `${'a'.repeat(20_000)}: b\n`)),
  refused('a thousand headers', get(PODS, `${'a:\n'.repeat(1000)}Impersonate-User: root\n`), 431, 'headers_too_large'),
  refused(
    'Impersonate-Group behind all headers that are taken',
    get(PODS, `${'a:\n'.repeat(990)}Impersonate-Group: root\n`),
    400,
    'impersonation_without_user',
  ),
];

const VERSIONS: readonly Attack[] = [
  unparsed('HTTP/2 prior knowledge', 'PRI * HTTP/2.0\n\nSM\n\n'),
  reset('HTTP/2 prior knowledge behind a request', `${get(PODS)}PRI * HTTP/2.0\n\nSM\n\n`),
  unparsed('no HTTP at all', 'EHLO mail\n\n'),
  unparsed('a TLS hello inside TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001'),
  unparsed('a version of the future', get(PODS).replace('HTTP/1.1', 'HTTP/3.0')),
  unparsed('a minor version of the future', get(PODS).replace('HTTP/1.1', 'HTTP/1.2')),
  unparsed('a version in lower case', get(PODS).replace('HTTP/1.1', 'http/1.1')),
  unparsed('another protocol', get(PODS).replace('HTTP/1.1', 'ICE/1.0')),
  refused('a request that claims HTTP/2.0', get(PODS).replace('HTTP/1.1', 'HTTP/2.0'), 400, 'http_version'),
  refused('a request that claims HTTP/0.9', get(PODS).replace('HTTP/1.1', 'HTTP/0.9'), 400, 'http_version'),
  refused('HTTP/0.9', `GET ${PODS}\n\n`, 400, 'http_version'),
  passed('HTTP/1.0', get(PODS).replace('HTTP/1.1', 'HTTP/1.0')),
  passed(
    'HTTP/1.0 with keep-alive',
    get(PODS, 'Connection: keep-alive\nKeep-Alive: 300\n').replace('HTTP/1.1', 'HTTP/1.0'),
  ),
  unparsed('two versions', get(PODS).replace('HTTP/1.1', 'HTTP/1.1 HTTP/1.1')),
];

const METHODS: readonly Attack[] = [
  refused(
    'CONNECT to anywhere',
    `CONNECT 10.0.0.1:443 HTTP/1.1\nHost: 10.0.0.1:443\nAuthorization: Bearer TOKEN\n\n`,
    400,
    'connect_method',
  ),
  refused('CONNECT with a valid host', `CONNECT HOST:443 HTTP/1.1\n${AUTH}\n`, 400, 'connect_method'),
  refused(
    'CONNECT with half a body',
    `CONNECT HOST:443 HTTP/1.1\n${AUTH}Content-Length: 5\n\nhe`,
    400,
    'connect_method',
  ),
  refused('CONNECT to a path', `CONNECT ${PODS} HTTP/1.1\n${AUTH}\n`, 400, 'connect_method'),
  unparsed('a method with a NUL', get(PODS).replace('GET', 'GE\u0000T')),
  unparsed('a method in lower case', get(PODS).replace('GET', 'get')),
  unparsed('a method that does not exist', get(PODS).replace('GET', 'FROBNICATE')),
  refused(
    'TRACE, which would respond with the proxy’s own token',
    get(PODS).replace('GET', 'TRACE'),
    400,
    'method_unknown',
  ),
  refused('a method that Kubernetes does not have', get(PODS).replace('GET', 'PROPFIND'), 400, 'method_unknown'),
  refused(
    'a method that Kubernetes does not have, below …/proxy/',
    get(`${PODS}/web/proxy/`).replace('GET', 'M-SEARCH'),
    400,
    'method_unknown',
  ),
  passed(
    'X-HTTP-Method-Override has no effect',
    get(PODS, 'X-HTTP-Method-Override: DELETE\nX-Method-Override: DELETE\n'),
  ),
  unparsed('a space before the method', ` ${get(PODS)}`),
  passed('empty lines before the request line', `\n\n${get(PODS)}`),
];

export const FRAMING = { LENGTHS, CODINGS, CHUNKS, HEADS, VERSIONS, METHODS };
