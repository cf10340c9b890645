/** Two requests where one was expected: each is judged by what it carries itself. */
import { get, PODS, post, reset } from '../attack.ts';
import type { Attack } from '../attack.ts';

const BARE = 'GET /api/v1/secrets HTTP/1.1\nHost: HOST\n\n';
const LIST = { line: `GET ${PODS}` };

const PIPELINED: readonly Attack[] = [
  {
    name: 'the second request has no token',
    bytes: `${get(PODS)}${BARE}`,
    statuses: [200, 401],
    reasons: ['no_token'],
    reached: [LIST],
  },
  {
    name: 'the second request has a token that is not good',
    bytes: `${get(PODS)}${BARE.replace('\n\n', '\nAuthorization: Bearer a.b.c\n\n')}`,
    statuses: [200, 401],
    reasons: ['malformed_token'],
    reached: [LIST],
  },
  {
    name: 'the second request impersonates',
    bytes: `${get(PODS)}${get(PODS, 'Impersonate-Uid: 0\n')}`,
    statuses: [200, 400],
    reasons: ['impersonation_without_user'],
    reached: [LIST],
  },
  {
    name: 'a rejected request is followed by a valid one',
    bytes: `${BARE}${get(PODS)}`,
    statuses: [401, 200],
    reasons: ['no_token'],
    reached: [LIST],
  },
  reset(
    'nothing is read after a request that closes the connection',
    `${get(PODS, 'Connection: close\n')}${get('/api/v1/secrets')}`,
  ),
  {
    name: 'a request in the body of another is its body',
    bytes: post('Content-Length: 35\n', 'GET /api/v1/secrets HTTP/1.1\n\nx=y'),
    statuses: [200],
    reasons: [],
    reached: [{ line: `POST ${PODS}`, headers: ['Content-Length: 35'], body: 'GET /api/v1/secrets HTTP/1.1\n\nx=y' }],
  },
  {
    name: 'a request in the body of a GET is its body',
    bytes: get(PODS, `Content-Length: ${BARE.length + 18}\n`) + BARE,
    statuses: [200],
    reasons: [],
    reached: [{ ...LIST, headers: [`Content-Length: ${BARE.length + 18}`], body: BARE }],
  },
  reset(
    'a body that is shorter than its length takes the next request with it',
    post('Content-Length: 5\n', `he${get(PODS)}`),
  ),
  {
    name: 'what is left of a chunked body is the next request, without a token',
    bytes: post('Transfer-Encoding: chunked\n', `0\n\n${BARE}`),
    statuses: [200, 401],
    reasons: ['no_token'],
    reached: [{ line: `POST ${PODS}`, headers: ['Content-Length: 0'] }],
  },
  {
    name: 'a second request after CONNECT is not read',
    bytes: `CONNECT HOST:443 HTTP/1.1\nHost: HOST\nAuthorization: Bearer TOKEN\n\n${get(PODS)}`,
    statuses: [400],
    reasons: ['connect_method'],
    reached: [],
  },
  {
    name: 'a second request after a rejected upgrade is not read',
    bytes: `${get(PODS, 'Connection: Upgrade\nUpgrade: h2c\n')}${get(PODS)}`,
    statuses: [400],
    reasons: ['upgrade_unsupported'],
    reached: [],
  },
  {
    name: 'a second request after an Expect without a response is the body',
    bytes: post('Expect: 100-continue\nContent-Length: 9\n', 'GET / HT'.concat('T')),
    statuses: [100, 200],
    reasons: [],
    reached: [{ line: `POST ${PODS}`, headers: ['Content-Length: 9'], body: 'GET / HTT' }],
  },
];

export const SMUGGLING = { PIPELINED };
