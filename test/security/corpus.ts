/** Bytes that no well-meant client sends, what must come back for them, and what may reach the API server. */

export interface Attack {
  readonly name: string;
  /** `TOKEN` and `HOST` stand for good ones. Lines end with `\n` here and with CRLF on the wire, unless `exact`. */
  readonly bytes: string;
  /** Status codes of the answers, in order. Empty: the connection is closed without one. */
  readonly statuses: readonly number[];
  /** Request lines that reach the API server. */
  readonly upstream: readonly string[];
  /** Send `bytes` as they are. */
  readonly exact?: true;
  /** Send no client certificate. */
  readonly anonymous?: true;
}

const PODS = '/api/v1/namespaces/default/pods';
const AUTH = 'Host: HOST\nAuthorization: Bearer TOKEN\n';
const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\n${AUTH}${more}\n`;
const refused = (name: string, bytes: string, status: number): Attack => ({
  name,
  bytes,
  statuses: [status],
  upstream: [],
});
const passed = (name: string, bytes: string, line = `GET ${PODS}`): Attack => ({
  name,
  bytes,
  statuses: [200],
  upstream: [line],
});
const target = (name: string, value: string): Attack => refused(`target: ${name}`, get(value), 400);

const TARGETS: readonly Attack[] = [
  target('dot segments', `${PODS}/../../secrets`),
  target('a dot segment at the end', `${PODS}/..`),
  target('a single dot', '/api/./v1/pods'),
  target('encoded dots', `${PODS}/%2e%2e/secrets`),
  target('half encoded dots', `${PODS}/.%2E/secrets`),
  target('an encoded slash', '/api/v1/namespaces/default%2Fpods'),
  target('an encoded backslash', '/api/v1/namespaces%5C..%5Cpods'),
  target('a backslash', String.raw`/api/v1\..\secrets`),
  target('an empty segment', '//api/v1/pods'),
  target('an empty segment in the middle', '/api//v1/pods'),
  target('an encoded NUL', '/api/v1/pods%00'),
  target('an encoded newline', '/api/v1/pods%0d%0aX:1'),
  target('a broken escape', '/api/v1/pods%zz'),
  target('a fragment', '/api/v1/pods#/secrets'),
  target('absolute form', `https://HOST${PODS}`),
  target('absolute form of another host', `https://169.254.169.254/latest`),
  target('absolute form towards our own endpoints', 'https://HOST/-/oauth/token'),
  target('asterisk form', '*'),
  refused('target: bytes beyond ASCII', get('/api/v1/pods/é'), 400),
  refused('target: a tab', get('/api/v1/pods\t'), 400),
  passed(
    'target: an empty segment below …/proxy/ is the application’s own',
    get(`${PODS}/web/proxy//a`),
    `GET ${PODS}/web/proxy//a`,
  ),
  refused('target: dot segments below …/proxy/', get(`${PODS}/web/proxy/../../secrets`), 400),
];

const METHODS: readonly Attack[] = [
  refused(
    'CONNECT to anywhere',
    'CONNECT 10.0.0.1:443 HTTP/1.1\nHost: 10.0.0.1:443\nAuthorization: Bearer TOKEN\n\n',
    400,
  ),
  refused('CONNECT with a good host', 'CONNECT HOST:443 HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n\n', 400),
  refused('a method that is none', `GE\u0000T ${PODS} HTTP/1.1\n${AUTH}\n`, 400),
  refused('HTTP/2 prior knowledge', 'PRI * HTTP/2.0\n\nSM\n\n', 400),
  refused('no HTTP at all', 'EHLO mail\n\n', 400),
  refused('a version of the future', `GET ${PODS} HTTP/3.0\n${AUTH}\n`, 400),
];

const HOSTS: readonly Attack[] = [
  passed(
    'no Host: SNI decides',
    `GET ${PODS} HTTP/1.1
Authorization: Bearer TOKEN

`,
  ),
  refused(
    'two hosts that differ',
    `GET ${PODS} HTTP/1.1\nHost: HOST\nHost: other.test\nAuthorization: Bearer TOKEN\n\n`,
    400,
  ),
  refused('a host that is unknown', get(PODS).replace('HOST', 'elsewhere.test'), 404),
  refused('a host with a path in it', get(PODS).replace('HOST', 'HOST/../x'), 400),
  refused('a host with user info', get(PODS).replace('HOST', 'x@HOST'), 400),
  refused('a host behind a comma', get(PODS).replace('HOST', 'HOST, other.test'), 400),
  passed('a host in capitals, with port and dot', get(PODS).replace('HOST', 'PROD.K8S.TEST.:6443')),
  passed('a prefix where the host names none', get(`/clusters/prod${PODS}`).replace('HOST', 'elsewhere.test')),
  passed(
    'a prefix where the host chooses is a path like any other',
    get(`/clusters/prod${PODS}`),
    `GET /clusters/prod${PODS}`,
  ),
];

const FRAMING: readonly Attack[] = [
  refused(
    'length and chunked together',
    `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n`,
    400,
  ),
  refused(
    'two lengths that differ',
    `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: 5\nContent-Length: 6\n\nhello`,
    400,
  ),
  refused('two lengths that agree', `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: 5\nContent-Length: 5\n\nhello`, 400),
  refused('a length with a sign', `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: +5\n\nhello`, 400),
  refused('a list as length', `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: 5, 5\n\nhello`, 400),
  refused(
    'a coding hidden by a tab',
    `POST ${PODS} HTTP/1.1\n${AUTH}Transfer-Encoding:\tchunked, identity\n\n0\n\n`,
    400,
  ),
  refused('a coding under chunked', `POST ${PODS} HTTP/1.1\n${AUTH}Transfer-Encoding: gzip, chunked\n\n0\n\n`, 400),
  refused(
    'two codings',
    `POST ${PODS} HTTP/1.1\n${AUTH}Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n`,
    400,
  ),
  refused('a space before the colon', `GET ${PODS} HTTP/1.1\nHost: HOST\nAuthorization : Bearer TOKEN\n\n`, 400),
  refused('a folded header', `GET ${PODS} HTTP/1.1\n${AUTH}X-A: b\n Impersonate-User: root\n\n`, 400),
  {
    ...refused(
      'lines without carriage returns',
      `GET ${PODS} HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n\n`,
      400,
    ),
    exact: true,
  },
  {
    ...refused(
      'a carriage return in a value',
      `GET ${PODS} HTTP/1.1\r\nHost: HOST\r\nX-A: b\rImpersonate-User: root\r\n\r\n`,
      400,
    ),
    exact: true,
  },
  refused('a NUL in a value', get(PODS, 'Accept: a\u0000b\n'), 400),
  refused('headers beyond the limit', get(PODS, `X-Long: ${'a'.repeat(20_000)}\n`), 431),
  passed(
    'a second request in the body of the first',
    `POST ${PODS} HTTP/1.1\n${AUTH}Content-Length: 35\n\nGET /api/v1/secrets HTTP/1.1\n\nx=y`,
    `POST ${PODS}`,
  ),
  {
    name: 'two requests in one packet, the second without a token',
    bytes: `${get(PODS)}GET /api/v1/secrets HTTP/1.1\nHost: HOST\n\n`,
    statuses: [200, 401],
    upstream: [`GET ${PODS}`],
  },
];

const IMPERSONATION: readonly Attack[] = [
  refused('Impersonate-User', get(PODS, 'Impersonate-User: system:masters\n'), 403),
  refused('Impersonate-Group alone', get(PODS, 'Impersonate-Group: system:masters\n'), 403),
  refused('Impersonate-Uid', get(PODS, 'Impersonate-Uid: 0\n'), 403),
  refused('Impersonate-Extra', get(PODS, 'Impersonate-Extra-scopes: all\n'), 403),
  refused('in capitals', get(PODS, 'IMPERSONATE-USER: root\n'), 403),
  refused('with underscores', get(PODS, 'Impersonate_User: root\n'), 403),
  refused('empty', get(PODS, 'Impersonate-User:\n'), 403),
  refused(
    'behind Expect: 100-continue',
    `POST ${PODS} HTTP/1.1\n${AUTH}Expect: 100-continue\nImpersonate-User: system:masters\nContent-Length: 2\n\n`,
    403,
  ),
  refused('nominated by Connection', get(PODS, 'Connection: Impersonate-User\nImpersonate-User: root\n'), 403),
  refused(
    'in an upgrade',
    get(`${PODS}/web/exec`, 'Connection: Upgrade\nUpgrade: websocket\nImpersonate-User: root\n'),
    403,
  ),
  passed(
    'our own headers nominated by Connection stay',
    get(PODS, 'Connection: Impersonate-User, Impersonate-Group, Authorization, Audit-ID\n'),
  ),
  passed(
    'X-Remote-User and its kin are dropped',
    get(PODS, 'X-Remote-User: root\nX_Remote_User: root\nX-Remote-Group: system:masters\nX-Forwarded-For: 10.0.0.1\n'),
  ),
];

const CREDENTIALS: readonly Attack[] = [
  refused('two Authorization lines', get(PODS, 'Authorization: Bearer other\n'), 401),
  refused('a token in the query', `GET ${PODS}?access_token=TOKEN HTTP/1.1\nHost: HOST\n\n`, 401),
  refused('a token in a cookie', `GET ${PODS} HTTP/1.1\nHost: HOST\nCookie: token=TOKEN\n\n`, 401),
  refused(
    'a token in Proxy-Authorization',
    `GET ${PODS} HTTP/1.1\nHost: HOST\nProxy-Authorization: Bearer TOKEN\n\n`,
    401,
  ),
  {
    ...refused(
      'a certificate in a header instead of the handshake',
      get(PODS, 'X-Forwarded-Client-Cert: MIIB\nX-SSL-Client-Cert: MIIB\n'),
      401,
    ),
    anonymous: true,
  },
];

const UPGRADES: readonly Attack[] = [
  refused(
    'h2c',
    get(PODS, 'Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n'),
    400,
  ),
  refused('two protocols', get(PODS, 'Connection: Upgrade\nUpgrade: websocket, h2c\n'), 400),
  refused('TLS by upgrade', get(PODS, 'Connection: Upgrade\nUpgrade: TLS/1.0\n'), 400),
  refused('WebSocket by POST', `POST ${PODS} HTTP/1.1\n${AUTH}Connection: Upgrade\nUpgrade: websocket\n\n`, 400),
  refused(
    'an upgrade below our own endpoints',
    get('/-/oauth/token', 'Connection: Upgrade\nUpgrade: websocket\n'),
    400,
  ),
  refused(
    'an upgrade with a body',
    `POST ${PODS} HTTP/1.1\n${AUTH}Connection: Upgrade\nUpgrade: SPDY/3.1\nContent-Length: 5\n\nhello`,
    400,
  ),
  refused(
    'an upgrade without a token',
    `GET ${PODS} HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: websocket\n\n`,
    401,
  ),
  passed('Upgrade without Connection is no upgrade', get(PODS, 'Upgrade: h2c\n')),
  refused('an expectation that nobody knows', get(PODS, 'Expect: the-unexpected\n'), 417),
];

export const CORPUS: Readonly<Record<string, readonly Attack[]>> = {
  TARGETS,
  METHODS,
  HOSTS,
  FRAMING,
  IMPERSONATION,
  CREDENTIALS,
  UPGRADES,
};
