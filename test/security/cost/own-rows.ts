/** The APIs for a user's own sessions, and the OAuth endpoints, which anyone may call. */
import { createHash } from 'node:crypto';
import { clusterAudience, SELF_AUDIENCE } from '../../../src/core/core.ts';
import { MOST_LEVELS } from '../../../src/core/delegation/delegation.ts';
import type { RightsLimit } from '../../../src/core/delegation/rights.ts';
import { EXCHANGE } from '../../support/exchange-stage.ts';
import {
  bearer,
  deepJson,
  FORM_TYPE,
  JSON_TYPE,
  LONG,
  notUtf8,
  PAGE,
  SMALL,
  type CostRow,
  type Limiter,
  type Request,
} from './row.ts';
import type { Holder } from './holders.ts';
import { chainLimit, largestLimit } from './state.ts';
import { MCP_RESOURCE, type CostStage, type Sent, type User } from './stage.ts';

type Options = Partial<Pick<CostRow, 'bound' | 'limiter' | 'times'>> & { readonly status?: number };

interface OwnRow extends Options {
  readonly worst: string;
  readonly as?: 'alice' | 'root';
  /** In place of a user's own session. */
  readonly holder?: (stage: CostStage) => Holder | undefined;
  readonly path: (stage: CostStage, index: number) => string;
  readonly body?: (stage: CostStage, index: number) => string;
}

const gone = 'A'.repeat(43);
const thumbprint = (key: string): string => createHash('sha256').update(key).digest('base64url');

const order = (limit: RightsLimit, key: string): string =>
  JSON.stringify({
    name: 'a'.repeat(63),
    clusters: ['demo'],
    limits: [limit],
    seconds: 600,
    thumbprint: thumbprint(key),
  });

const OWN: Readonly<Record<string, OwnRow>> = {
  'GET /-/delegations': {
    worst: 'an account with 880 delegated sessions, each with limits of 8 kB',
    path: () => '/-/delegations',
    bound: { ...PAGE, calls: 80, kB: 300 },
  },
  'GET /-/delegations (not UTF-8)': {
    worst: 'a query of 12 kB',
    path: () => `/-/delegations?${notUtf8(12_000)}`,
    status: 400,
  },
  'POST /-/delegations': {
    worst: 'limits of 8 kB with a hundred names, where there are as many sessions as may be',
    path: () => '/-/delegations',
    body: (_stage, index) => order(largestLimit(`order-${index}`), String(index)),
    limiter: 'orders',
    bound: PAGE,
    status: 409,
  },
  'POST /-/delegations (one is made)': {
    worst: 'by the third of four delegated sessions above one another, with names that are compared with theirs',
    holder: ({ chain }) => chain.parent,
    path: () => '/-/delegations',
    body: () => order(chainLimit(MOST_LEVELS - 1), crypto.randomUUID()),
    limiter: 'orders',
    bound: PAGE,
    status: 201,
  },
  'GET /-/delegations/:id': {
    worst: 'one with limits of 8 kB',
    path: ({ delegated }) => `/-/delegations/${delegated[100] ?? ''}`,
  },
  'DELETE /-/delegations/:id': {
    worst: 'one with limits of 8 kB',
    path: ({ delegated }, index) => `/-/delegations/${delegated[index] ?? ''}`,
    bound: PAGE,
  },
  'GET /-/sessions': {
    worst: 'the largest page of an account with as many sessions as it may have',
    as: 'root',
    path: () => '/-/sessions?limit=50',
    bound: { ...PAGE, kB: 60 },
  },
  'DELETE /-/sessions/:id': {
    worst: 'one of as many sessions as an account may have',
    as: 'root',
    path: ({ own }, index) => `/-/sessions/${own.at(-1 - index) ?? ''}`,
    bound: PAGE,
  },
  'GET /-/access': {
    worst: 'an approver for whom 500 requests wait, with the longest reasons',
    as: 'root',
    path: () => '/-/access',
    bound: { ...PAGE, kB: 300 },
  },
  'POST /-/access': {
    worst: 'the longest reason, where as many requests wait as may',
    path: () => '/-/access',
    body: ({ alice }) =>
      JSON.stringify({ role: 'shop-admins', seconds: 3600, reason: 'r'.repeat(500), session: alice.session }),
    limiter: 'orders',
    bound: PAGE,
    status: 409,
  },
  'GET /-/access/:id': {
    worst: 'the longest reason',
    as: 'root',
    path: ({ waiting }) => `/-/access/${waiting[100] ?? ''}`,
  },
  'DELETE /-/access/:id': { worst: 'unknown', path: () => `/-/access/${gone}`, limiter: 'orders', status: 404 },
  'POST /-/access/:id/approve': {
    worst: 'a role that was changed, with the longest reason',
    as: 'root',
    path: ({ waiting }, index) => `/-/access/${waiting.at(-60 - index) ?? ''}/approve`,
    body: () => JSON.stringify({ reason: 'r'.repeat(500) }),
    limiter: 'orders',
    bound: PAGE,
    status: 409,
  },
  'POST /-/access/:id/deny': {
    worst: 'a role that was changed, with the longest reason',
    as: 'root',
    path: ({ waiting }, index) => `/-/access/${waiting.at(-20 - index) ?? ''}/deny`,
    body: () => JSON.stringify({ reason: 'r'.repeat(500) }),
    limiter: 'orders',
    bound: PAGE,
    status: 409,
  },
  'POST /-/step-up': {
    worst: 'a state of 200 characters',
    path: () => '/-/step-up',
    body: () => JSON.stringify({ redirect: 'http://127.0.0.1:65535/callback', state: 's'.repeat(200) }),
    limiter: 'orders',
    status: 201,
  },
  'GET /-/step-up/:id': { worst: 'unknown', path: () => `/-/step-up/${gone}`, status: 404 },
  'POST /-/step-up/:id': {
    worst: 'unknown, with a body of 4 kB in brackets',
    path: () => `/-/step-up/${gone}`,
    body: () => deepJson(4000),
    status: 400,
  },
};

const OWN_ROWS: readonly CostRow[] = Object.entries(OWN).map(([operation, row]) => {
  const { worst, as = 'alice', holder, path, body, status = 200, bound = SMALL, limiter, ...rest } = row;
  const method = operation.split(' ', 1)[0] as Required<Sent>['method'];
  const usual: Limiter = method === 'GET' ? 'ownReads' : 'ownChanges';
  return {
    ...rest,
    operation,
    worst,
    bound,
    limiter: limiter ?? usual,
    async request(stage, index): Promise<Request> {
      const user: User = stage[as];
      const token = (await holder?.(stage)?.token(SELF_AUDIENCE)) ?? user.self;
      const text = body?.(stage, index);
      const sent = text === undefined ? {} : { body: text };
      return {
        method,
        url: stage.urls.api + path(stage, index),
        agent: user.agent,
        headers: { ...bearer(token), ...(text === undefined ? {} : JSON_TYPE) },
        ...sent,
        status,
      };
    },
  };
});

/** A token of an attacker: its header names another algorithm, and it is as long as may be. */
const forged = (bytes: number): string =>
  [
    { alg: 'none', kid: 'k1', typ: 'at+jwt' },
    { iss: 'x', sub: 'y'.repeat((bytes * 3) / 4) },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.') + '.AAAA';

interface OAuthRow extends Options {
  readonly worst: string;
  /** Whose connection it comes on; default: alice's. */
  readonly as?: 'root';
  /** A text: as it is sent. */
  readonly form: (stage: CostStage, index: number) => Record<string, string> | string | Promise<Record<string, string>>;
  readonly limiter: Limiter;
}

const client = { client_id: 'portcullis-cli' };
const exchange = { grant_type: EXCHANGE, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' };

const FORMS: Readonly<Record<string, OAuthRow>> = {
  'POST /-/oauth/token (authorization_code)': {
    worst: 'an unknown code, with parameters of 8 kB',
    form: () => ({
      ...client,
      grant_type: 'authorization_code',
      code: gone,
      redirect_uri: LONG,
      code_verifier: 'v'.repeat(128),
    }),
    limiter: 'connections',
    status: 400,
  },
  'POST /-/oauth/token (refresh_token)': {
    worst: 'a valid one, and a token for a cluster',
    form: ({ alice }) => ({ ...client, grant_type: 'refresh_token', refresh_token: alice.refreshToken }),
    limiter: 'refreshes',
    bound: { ...SMALL, cpuMs: 20 },
  },
  'POST /-/oauth/token (urn:ietf:params:oauth:grant-type:device_code)': {
    worst: 'an unknown code',
    form: (_stage, index) => ({
      ...client,
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: `${gone}${index}`,
    }),
    limiter: 'connections',
    status: 400,
  },
  'POST /-/oauth/token (urn:ietf:params:oauth:grant-type:token-exchange), a workload': {
    worst: 'a token of 16 kB that is not signed',
    form: () => ({
      client_id: 'workload',
      grant_type: EXCHANGE,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: forged(16_000),
      audience: 'urn:portcullis:cluster:demo',
    }),
    limiter: 'exchanges',
    status: 400,
  },
  'POST /-/oauth/token (urn:ietf:params:oauth:grant-type:token-exchange), a workload, valid': {
    worst: 'expressions over its claims that take all steps that they may, which are the slowest ones',
    form: async ({ issuer }) => ({
      client_id: 'workload',
      grant_type: EXCHANGE,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await issuer.token(),
      audience: 'urn:portcullis:cluster:demo',
    }),
    limiter: 'exchanges',
    bound: { ...PAGE, cpuMs: 200 },
  },
  'POST /-/oauth/token (urn:ietf:params:oauth:grant-type:token-exchange), a registered client, valid': {
    worst: 'authorization_details of 8 kB',
    as: 'root',
    form: async (stage, index) => ({
      ...exchange,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await stage.assertion(),
      subject_token: (await stage.holders.at(-6)?.token(MCP_RESOURCE)) ?? '',
      resource: clusterAudience('demo'),
      authorization_details: JSON.stringify([{ type: 'urn:portcullis:rights', ...largestLimit(String(index)) }]),
    }),
    limiter: 'exchanges',
    bound: { ...PAGE, cpuMs: 40 },
  },
  'POST /-/oauth/token (urn:ietf:params:oauth:grant-type:token-exchange), a registered client': {
    worst: 'a valid assertion, a user’s token of 8 kB that is not signed, and authorization_details of 8 kB',
    form: async (stage, index) => ({
      ...exchange,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await stage.assertion(),
      subject_token: forged(8000),
      resource: clusterAudience('demo'),
      authorization_details: JSON.stringify([{ type: 'urn:portcullis:rights', ...largestLimit(String(index)) }]),
    }),
    limiter: 'exchanges',
    bound: { ...SMALL, cpuMs: 20 },
    status: 400,
  },
  'POST /-/oauth/token (not UTF-8)': {
    worst: 'a form of 32 kB',
    form: () => notUtf8(32_000),
    limiter: 'connections',
    status: 400,
  },
  'POST /-/oauth/revoke': {
    worst: 'an unknown token of 8 kB',
    form: () => ({ ...client, token: 't'.repeat(8000) }),
    limiter: 'connections',
  },
  'POST /-/oauth/revoke (not UTF-8)': {
    worst: 'a form of 32 kB',
    form: () => notUtf8(32_000),
    limiter: 'connections',
    status: 400,
  },
  'POST /-/oauth/device': {
    worst: 'a code is made, with each parameter as long as it may be',
    form: () => ({ ...client, scope: 'kubernetes', device_name: 'w'.repeat(64), resource: clusterAudience('demo') }),
    limiter: 'signIns',
  },
  'POST /-/oauth/device (not UTF-8)': {
    worst: 'a form of 32 kB',
    form: () => notUtf8(32_000),
    limiter: 'signIns',
    status: 400,
  },
  'POST /oauth/token': {
    worst: 'as at the api listener',
    form: () => ({
      ...client,
      grant_type: 'authorization_code',
      code: gone,
      redirect_uri: LONG,
      code_verifier: 'v'.repeat(128),
    }),
    limiter: 'connections',
    status: 400,
  },
  'POST /oauth/token (not UTF-8)': {
    worst: 'a form of 32 kB',
    form: () => notUtf8(32_000),
    limiter: 'connections',
    status: 400,
  },
  'POST /oauth/revoke': {
    worst: 'as at the api listener',
    form: () => ({ ...client, token: 't'.repeat(8000) }),
    limiter: 'connections',
  },
  'POST /oauth/revoke (not UTF-8)': {
    worst: 'a form of 32 kB',
    form: () => notUtf8(32_000),
    limiter: 'connections',
    status: 400,
  },
};

const bodyOf = (form: Record<string, string> | string): string =>
  typeof form === 'string' ? form : new URLSearchParams(form).toString();

const FORM_ROWS: readonly CostRow[] = Object.entries(FORMS).map(([operation, row]) => {
  const { form, as = 'alice', status = 200, bound = SMALL, ...rest } = row;
  const path = operation.split(' ')[1] ?? '';
  const isWeb = path.startsWith('/oauth');
  return {
    ...rest,
    operation,
    bound,
    async request(stage, index): Promise<Request> {
      const { urls, anonymous } = stage;
      return {
        method: 'POST',
        url: (isWeb ? urls.web : urls.api) + path,
        agent: isWeb ? anonymous : stage[as].agent,
        headers: FORM_TYPE,
        body: bodyOf(await form(stage, index)),
        status,
      };
    },
  };
});

const get = (
  path: string,
  worst: string,
  options: Options & { readonly query?: string; readonly says?: string } = {},
): CostRow => {
  const { query = '', says = '', status = 200, bound = SMALL, limiter = 'connections' } = options;
  const request = ({ urls, anonymous }: CostStage): Request => ({
    url: urls.web + path.split(' ', 1)[0] + query,
    agent: anonymous,
    status,
    says,
  });
  return { operation: `GET ${path}`, worst, bound, limiter, request };
};

const authorization = new URLSearchParams({
  client_id: 'portcullis-cli',
  response_type: 'code',
  redirect_uri: 'http://127.0.0.1:9/callback',
  scope: 'kubernetes',
  state: 's'.repeat(2048),
  code_challenge: 'A'.repeat(43),
  code_challenge_method: 'S256',
});

const GET_ROWS: readonly CostRow[] = [
  get('/.well-known/openid-configuration', 'there is none worse'),
  get('/.well-known/oauth-authorization-server', 'there is none worse'),
  get('/oauth/jwks', 'there is none worse'),
  get('/oauth/authorize', 'a state of 2 kB, which is stored', {
    query: `?${authorization.toString()}`,
    says: '/login/',
    limiter: 'signIns',
    status: 303,
  }),
  get('/oauth/authorize (not UTF-8)', 'a query of 12 kB', {
    query: `?${notUtf8(12_000)}`,
    limiter: 'signIns',
    status: 400,
  }),
  get('/oauth/authorize (one name)', 'a query of 12 kB that repeats it', {
    query: `?${'a&'.repeat(6000)}`,
    limiter: 'signIns',
    status: 400,
  }),
  get('/oauth/authorize/:uid', 'an unknown one', { limiter: 'signIns', status: 404 }),
];

export const PROGRAM_ROWS: readonly CostRow[] = [...OWN_ROWS, ...FORM_ROWS, ...GET_ROWS];
