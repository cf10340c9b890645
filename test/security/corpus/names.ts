/** Names that a client claims: its own, and that of the host. */
import { get, passed, PODS, post, refused } from '../attack.ts';
import type { Attack } from '../attack.ts';

const host = (name: string, value: string, status: number, reason: string): Attack =>
  refused(name, get(PODS).replace('HOST', value), status, reason);
const sameHost = (name: string, value: string): Attack => passed(name, get(PODS).replace('HOST', value));

const HOSTS: readonly Attack[] = [
  passed('no Host: SNI decides', `GET ${PODS} HTTP/1.1\nAuthorization: Bearer TOKEN\n\n`),
  {
    ...refused('no Host and no SNI', `GET ${PODS} HTTP/1.1\nAuthorization: Bearer TOKEN\n\n`, 404, 'cluster_unknown'),
    servername: null,
  },
  refused('two hosts that differ', get(PODS, 'Host: other.test\n'), 400, 'host_conflict'),
  refused('two hosts that agree', get(PODS, 'Host: HOST\n'), 400, 'host_conflict'),
  host('a host that is unknown', 'elsewhere.test', 404, 'cluster_unknown'),
  host('the parent of a host', 'k8s.test', 404, 'cluster_unknown'),
  host('a child of a host', 'x.HOST', 404, 'cluster_unknown'),
  host('an empty host', '', 400, 'host_invalid'),
  host('a host with a path in it', 'HOST/../x', 400, 'host_invalid'),
  host('a host with user info', 'x@HOST', 400, 'host_invalid'),
  host('a host behind user info', 'HOST@elsewhere.test', 400, 'host_invalid'),
  host('a host with a scheme', 'https://HOST', 400, 'host_invalid'),
  host('a host behind a comma', 'HOST, other.test', 400, 'host_invalid'),
  host('a host with a space in it', 'HOST other.test', 400, 'host_invalid'),
  host('a host with a tab in it', 'HOST\tother.test', 400, 'host_invalid'),
  host('a host with a fragment', 'HOST#x', 400, 'host_invalid'),
  host('a host that is encoded', 'prod%2ek8s.test', 400, 'host_invalid'),
  host('a host beyond ASCII', 'pr\u00f6d.k8s.test', 400, 'host_invalid'),
  host('a host that is too long', `${'a.'.repeat(200)}test`, 400, 'host_invalid'),
  host('two trailing dots', 'HOST..', 400, 'host_invalid'),
  host('a port that is a word', 'HOST:https', 400, 'host_invalid'),
  host('two ports', 'HOST:443:443', 400, 'host_invalid'),
  host('an IPv6 address without brackets', '::1', 400, 'host_invalid'),
  sameHost('a host in capitals, with port and dot', 'PROD.K8S.TEST.:6443'),
  sameHost('an IPv4 address: SNI decides', '127.0.0.1:6443'),
  sameHost('an IPv6 address: SNI decides', '[::1]:6443'),
  {
    ...host('an address, and an SNI that is unknown', '127.0.0.1', 404, 'cluster_unknown'),
    servername: 'elsewhere.test',
  },
  { ...passed('the Host decides where SNI says otherwise', get(PODS)), servername: 'elsewhere.test' },
  passed('a prefix where the host names none', get(`/clusters/prod${PODS}`).replace('HOST', 'elsewhere.test')),
  passed(
    'a prefix where the host chooses is a path like any other',
    get(`/clusters/prod${PODS}`),
    `GET /clusters/prod${PODS}`,
  ),
  refused(
    'a prefix of an unknown cluster',
    get(`/clusters/dev${PODS}`).replace('HOST', 'elsewhere.test'),
    404,
    'cluster_unknown',
  ),
  refused(
    'a prefix in capitals',
    get(`/clusters/PROD${PODS}`).replace('HOST', 'elsewhere.test'),
    404,
    'cluster_unknown',
  ),
  refused(
    'a prefix that is encoded',
    get(`/clusters/%70rod${PODS}`).replace('HOST', 'elsewhere.test'),
    404,
    'cluster_unknown',
  ),
  refused(
    'a host after a prefix',
    get('/clusters/prod//169.254.169.254/').replace('HOST', 'elsewhere.test'),
    400,
    'empty_segment',
  ),
  refused(
    'dot segments after a prefix',
    get('/clusters/prod/../dev/api').replace('HOST', 'elsewhere.test'),
    400,
    'dot_segment',
  ),
  passed(
    'X-Forwarded-Host has no effect',
    get(PODS, 'X-Forwarded-Host: other.test\nX-Host: other.test\nForwarded: host=other.test\n'),
  ),
];

const MESSAGES = {
  impersonation_without_user: 400,
  impersonation_repeated: 400,
  impersonation_header_unknown: 400,
  impersonation_malformed: 400,
  impersonation_reserved_extra: 403,
} as const;
const unread = (name: string, reason: keyof typeof MESSAGES, ...lines: readonly string[]): Attack =>
  refused(name, get(PODS, lines.map((line) => `${line}\n`).join('')), MESSAGES[reason], reason);
/** Parsed, reviewed for the user, and not allowed. `root` has another name in each row, because reviews are cached. */
const denied = (name: string, bytes: string, ...more: readonly string[]): Attack => {
  const root = `root-${name.replaceAll(/[^a-z]+/gi, '-')}`;
  return {
    ...refused(name, bytes.replaceAll('root', root), 403, 'impersonation_denied'),
    reviews: [`users ${root}`, ...more],
  };
};

const IMPERSONATION: readonly Attack[] = [
  denied('Impersonate-User', get(PODS, 'Impersonate-User: root\n')),
  denied('in capitals', get(PODS, 'IMPERSONATE-USER: root\n')),
  denied('with an underscore', get(PODS, 'Impersonate_User: root\n')),
  denied(
    'with a group',
    get(PODS, 'Impersonate-User: root\nImpersonate-Group: system:masters\n'),
    'groups system:masters',
  ),
  denied('with a group under an underscore', get(PODS, 'Impersonate-User: root\nimpersonate_group: a\n'), 'groups a'),
  denied('after Expect: 100-continue', post('Expect: 100-continue\nImpersonate-User: root\nContent-Length: 2\n')),
  denied('nominated by Connection', get(PODS, 'Connection: Impersonate-User\nImpersonate-User: root\n')),
  denied('in an upgrade', get(`${PODS}/web/exec`, 'Connection: Upgrade\nUpgrade: websocket\nImpersonate-User: root\n')),
  denied('below …/proxy/', get(`${PODS}/web/proxy/`, 'Impersonate-User: root\n')),
  unread('a group alone', 'impersonation_without_user', 'Impersonate-Group: system:masters'),
  unread('a uid alone', 'impersonation_without_user', 'Impersonate-Uid: 0'),
  unread('an extra alone', 'impersonation_without_user', 'Impersonate-Extra-scopes: all'),
  unread('an extra with underscores', 'impersonation_without_user', 'impersonate_extra_scopes: all'),
  unread('an empty user', 'impersonation_malformed', 'Impersonate-User:'),
  unread('a user that is no UTF-8', 'impersonation_malformed', 'Impersonate-User: r\u00fft'),
  unread('a group that is empty', 'impersonation_malformed', 'Impersonate-User: root', 'Impersonate-Group:'),
  unread('two users', 'impersonation_repeated', 'Impersonate-User: a', 'Impersonate-User: b'),
  unread('two users in two spellings', 'impersonation_repeated', 'Impersonate-User: a', 'impersonate_user: a'),
  unread('two uids', 'impersonation_repeated', 'Impersonate-User: a', 'Impersonate-Uid: 1', 'Impersonate-Uid: 2'),
  unread('a header that does not exist', 'impersonation_header_unknown', 'Impersonate-User: a', 'Impersonate-Role: b'),
  unread('a prefix alone', 'impersonation_header_unknown', 'Impersonate-User: a', 'Impersonate: b'),
  unread(
    'the session’s own key',
    'impersonation_reserved_extra',
    'Impersonate-User: a',
    'Impersonate-Extra-portcullis.dev%2fsession: b',
  ),
  unread(
    'the session’s own key with an encoded capital',
    'impersonation_malformed',
    'Impersonate-User: a',
    'Impersonate-Extra-PORTCULLIS.dev%2F%53ession: b',
  ),
  passed(
    'our own headers nominated by Connection stay',
    get(PODS, 'Connection: Impersonate-User, Impersonate-Group, Authorization, Audit-ID\n'),
  ),
  passed('a name with something before it is none', get(PODS, 'X-Impersonate-User: root\n')),
];

const SPOOFED = [
  'X-Remote-User: root',
  'X_Remote_User: root',
  'X-Remote-Group: system:masters',
  'X-Remote-Extra-Scopes: all',
  'X-Forwarded-For: 10.0.0.1',
  'X_Forwarded_For: 10.0.0.1',
  'X-Forwarded-Proto: http',
  'X-Forwarded-User: root',
  'Forwarded: for=10.0.0.1',
  'X-Real-IP: 10.0.0.1',
  'Audit-ID: mine',
  'audit_id: mine',
  'Cookie: a=b',
  'Proxy-Authorization: Basic YTpi',
  'Keep-Alive: timeout=1',
  'Proxy-Connection: keep-alive',
  'TE: trailers',
  'Trailer: X',
  'X-Anything: else',
];

const SPOOFING: readonly Attack[] = [
  ...SPOOFED.map((line) => passed(`${line.split(':', 1)[0] ?? ''} is dropped`, get(PODS, `${line}\n`))),
  ...SPOOFED.slice(0, -1).map((line) =>
    passed(
      `${line.split(':', 1)[0] ?? ''} is dropped below …/proxy/`,
      get(`${PODS}/web/proxy/x`, `${line}\n`),
      `GET ${PODS}/web/proxy/x`,
    ),
  ),
  passed('what Connection names is dropped', get(PODS, 'Connection: Accept, close\nAccept: a\nRange: bytes=0-1\n'), {
    line: `GET ${PODS}`,
    headers: ['Range: bytes=0-1'],
  }),
];

const protocols = (...values: string[]): string => values.map((value) => `Sec-WebSocket-Protocol: ${value}\n`).join('');
const BEARER = 'base64url.bearer.authorization.k8s.io.BASE64TOKEN';
const bare = (headers: string): string => `GET ${PODS} HTTP/1.1\nHost: HOST\n${headers}\n`;

const CREDENTIALS: readonly Attack[] = [
  refused('no token', bare(''), 401, 'no_token'),
  refused('two Authorization lines', get(PODS, 'Authorization: Bearer other\n'), 401, 'authorization_repeated'),
  refused('the same Authorization twice', get(PODS, 'authorization: Bearer TOKEN\n'), 401, 'authorization_repeated'),
  refused('two tokens in one line', bare('Authorization: Bearer TOKEN, Bearer TOKEN\n'), 401, 'token_malformed'),
  refused('another scheme', bare('Authorization: Basic TOKEN\n'), 401, 'authorization_not_bearer'),
  refused('a token without a scheme', bare('Authorization: TOKEN\n'), 401, 'authorization_not_bearer'),
  refused('an empty token', bare('Authorization: Bearer \n'), 401, 'token_malformed'),
  refused('a token after a tab', bare('Authorization: Bearer\tTOKEN\n'), 401, 'authorization_not_bearer'),
  refused('a token with bytes beyond ASCII', bare('Authorization: Bearer TOKEN\u00e9\n'), 401, 'token_malformed'),
  refused('a token with another part after it', bare('Authorization: Bearer TOKEN.x\n'), 401, 'malformed_token'),
  refused('a token with its signature cut off', bare('Authorization: Bearer UNSIGNED.\n'), 401, 'foreign_token'),
  refused('a token in the query', `GET ${PODS}?access_token=TOKEN HTTP/1.1\nHost: HOST\n\n`, 401, 'no_token'),
  refused('a token in a cookie', bare('Cookie: token=TOKEN\n'), 401, 'no_token'),
  refused('a token in Proxy-Authorization', bare('Proxy-Authorization: Bearer TOKEN\n'), 401, 'no_token'),
  refused(
    'a token under a name with an underscore',
    bare('Authorization_: Bearer TOKEN\nX_Authorization: Bearer TOKEN\n'),
    401,
    'no_token',
  ),
  refused(
    'a token in a trailer',
    `POST ${PODS} HTTP/1.1\nHost: HOST\nTransfer-Encoding: chunked\n\n0\nAuthorization: Bearer TOKEN\n\n`,
    401,
    'no_token',
  ),
  refused(
    'a subprotocol with a token next to Authorization',
    get(PODS, protocols(`v4.channel.k8s.io, ${BEARER}`)),
    401,
    'token_in_two_places',
  ),
  refused(
    'two subprotocols with a token',
    bare(protocols(`v4.channel.k8s.io, ${BEARER}, ${BEARER}`)),
    401,
    'subprotocol_repeated',
  ),
  refused(
    'two subprotocols with a token in two lines',
    bare(protocols(BEARER, `${BEARER}, v4.channel.k8s.io`)),
    401,
    'subprotocol_repeated',
  ),
  refused('a subprotocol with a token alone', bare(protocols(BEARER)), 401, 'subprotocol_alone'),
  refused(
    'a subprotocol with a padded token',
    bare(protocols(`v4.channel.k8s.io, ${BEARER}=`)),
    401,
    'token_malformed',
  ),
  { ...refused('a good token without a certificate', get(PODS), 401, 'certificate_missing'), anonymous: true },
  {
    ...refused(
      'a certificate in a header instead of the handshake',
      get(PODS, 'X-Forwarded-Client-Cert: MIIB\nX-SSL-Client-Cert: MIIB\nClient-Cert: :MIIB:\n'),
      401,
      'certificate_missing',
    ),
    anonymous: true,
  },
];

const EXPECTATIONS: readonly Attack[] = [
  refused('an expectation that does not exist', get(PODS, 'Expect: the-unexpected\n'), 417, 'expectation_unknown'),
  passed(
    'an unknown expectation next to a valid one is not met, and stays here',
    post('Expect: 100-continue, x\nContent-Length: 2\n', '{}'),
    {
      line: `POST ${PODS}`,
      headers: ['Content-Length: 2'],
      body: '{}',
    },
  ),
  refused(
    'an expectation without a token',
    `POST ${PODS} HTTP/1.1\nHost: HOST\nExpect: 100-continue\nContent-Length: 2\n\n`,
    401,
    'no_token',
  ),
  {
    ...passed('an expectation that is met', post('Expect: 100-continue\nContent-Length: 2\n', '{}'), {
      line: `POST ${PODS}`,
      headers: ['Content-Length: 2'],
      body: '{}',
    }),
    statuses: [100, 200],
  },
  { ...passed('an expectation without a body', get(PODS, 'Expect: 100-continue\n')), statuses: [100, 200] },
];

export const NAMES = { HOSTS, IMPERSONATION, SPOOFING, CREDENTIALS, EXPECTATIONS };
