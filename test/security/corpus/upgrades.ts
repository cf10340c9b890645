/** Upgrades: only WebSocket by GET and SPDY/3.1, only for authorized users, and not a byte of the new protocol before its 101. */
import { AUTH, get, passed, PODS, post, refused } from '../attack.ts';
import type { Attack } from '../attack.ts';

const EXEC = `${PODS}/web/exec`;
const WEBSOCKET = 'Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: k\nSec-WebSocket-Version: 13\n';
const unsupported = (name: string, bytes: string): Attack => refused(name, bytes, 400, 'upgrade_unsupported');

/** The API server responds to these with 403 and not with a 101. */
const REFUSED: readonly Attack[] = [
  unsupported(
    'h2c',
    get(PODS, 'Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n'),
  ),
  unsupported('h2c with a good WebSocket beside it', get(EXEC, `${WEBSOCKET}Upgrade: h2c\n`)),
  unsupported('two protocols', get(EXEC, 'Connection: Upgrade\nUpgrade: websocket, h2c\n')),
  unsupported('the same protocol twice', get(EXEC, `${WEBSOCKET}Upgrade: websocket\n`)),
  unsupported('TLS by upgrade', get(PODS, 'Connection: Upgrade\nUpgrade: TLS/1.0\n')),
  unsupported('WebSocket with a version', get(EXEC, 'Connection: Upgrade\nUpgrade: websocket/13\n')),
  unsupported('SPDY of another version', post('Connection: Upgrade\nUpgrade: SPDY/3\n', '', EXEC)),
  unsupported('WebSocket by POST', post('Connection: Upgrade\nUpgrade: websocket\n', '', EXEC)),
  unsupported('SPDY by PUT', post('Connection: Upgrade\nUpgrade: SPDY/3.1\n', '', EXEC).replace('POST', 'PUT')),
  refused('below our own endpoints', get('/-/oauth/token', WEBSOCKET), 400, 'upgrade_unsupported'),
  refused(
    'SPDY with a body',
    post('Connection: Upgrade\nUpgrade: SPDY/3.1\nContent-Length: 5\n', 'hello', EXEC),
    400,
    'upgrade_with_body',
  ),
  refused(
    'SPDY with a chunked body',
    post('Connection: Upgrade\nUpgrade: SPDY/3.1\nTransfer-Encoding: chunked\n', '0\n\n', EXEC),
    400,
    'upgrade_with_body',
  ),
  refused('WebSocket with a body', get(EXEC, `${WEBSOCKET}Content-Length: 2\n`), 400, 'upgrade_with_body'),
  refused(
    'SPDY with half a body',
    post('Connection: Upgrade\nUpgrade: SPDY/3.1\nContent-Length: 5\n', 'he', EXEC),
    400,
    'upgrade_with_body',
  ),
  refused(
    'WebSocket with a chunked body that does not end',
    `${get(EXEC, `${WEBSOCKET}Transfer-Encoding: chunked\n`)}5\nhel`,
    400,
    'upgrade_with_body',
  ),
  unsupported('h2c with half a body', post('Connection: Upgrade\nUpgrade: h2c\nContent-Length: 5\n', 'he')),
  refused('in HTTP/2.0', get(EXEC, WEBSOCKET).replace('HTTP/1.1', 'HTTP/2.0'), 400, 'http_version'),
  unsupported('in HTTP/1.0', get(EXEC, WEBSOCKET).replace('HTTP/1.1', 'HTTP/1.0')),
  refused('without a token', `GET ${EXEC} HTTP/1.1\nHost: HOST\n${WEBSOCKET}\n`, 401, 'no_token'),
  refused(
    'without a token, by POST and SPDY',
    `POST ${EXEC} HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: SPDY/3.1\n\n`,
    401,
    'no_token',
  ),
  { ...refused('without a certificate', get(EXEC, WEBSOCKET), 401, 'certificate_missing'), anonymous: true },
  refused('of a path with dots in it', get(`${PODS}/../x/exec`, WEBSOCKET), 400, 'dot_segment'),
  refused('in absolute form', get(`https://HOST${EXEC}`, WEBSOCKET), 400, 'absolute_form'),
  refused('of an unknown host', get(EXEC, WEBSOCKET).replace('HOST', 'elsewhere.test'), 404, 'cluster_unknown'),
  refused('of two hosts', get(EXEC, `Host: other.test\n${WEBSOCKET}`), 400, 'host_conflict'),
];

const NONE: readonly Attack[] = [
  passed('an empty protocol is none', get(PODS, 'Connection: Upgrade\nUpgrade:\n')),
  passed('Upgrade without Connection is none', get(PODS, 'Upgrade: websocket\n')),
  passed('Connection without Upgrade is none', get(PODS, 'Connection: Upgrade\n')),
  passed('h2c without Connection is none', get(PODS, 'Upgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n')),
  passed(
    'WebSocket’s headers alone are none, and stay here',
    get(PODS, 'Sec-WebSocket-Key: k\nSec-WebSocket-Version: 13\n'),
  ),
];

const ASKED = ['Sec-WebSocket-Key: k', 'Sec-WebSocket-Version: 13', 'Connection: Upgrade', 'Upgrade: websocket'];

/** Bytes after the head belong to the new protocol: where there is none, they are dropped. */
const EARLY: readonly Attack[] = [
  {
    name: 'a request after an upgrade that the API server rejects is not forwarded',
    bytes: get(EXEC, WEBSOCKET) + get('/api/v1/secrets'),
    statuses: [403],
    reasons: [],
    reached: [{ line: `GET ${EXEC}`, headers: ASKED }],
  },
  {
    name: 'a token in a subprotocol is accepted and not forwarded',
    bytes: `GET ${EXEC} HTTP/1.1\nHost: HOST\n${WEBSOCKET}Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.BASE64TOKEN\n\n`,
    statuses: [403],
    reasons: [],
    reached: [
      {
        line: `GET ${EXEC}`,
        headers: [...ASKED.slice(0, 2), 'Sec-WebSocket-Protocol: v5.channel.k8s.io', ...ASKED.slice(2)],
      },
    ],
  },
  {
    name: 'a SPDY upgrade by POST has no body on its way',
    bytes: `POST ${EXEC} HTTP/1.1\n${AUTH}Connection: Upgrade\nUpgrade: SPDY/3.1\n\n\u0080\u0003\u0000\u0001`,
    statuses: [403],
    reasons: [],
    reached: [{ line: `POST ${EXEC}`, headers: ['Connection: Upgrade', 'Upgrade: SPDY/3.1'] }],
  },
];

export const UPGRADES = { REFUSED, NONE, EARLY };
