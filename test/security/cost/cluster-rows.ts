/** Kubernetes requests until they are sent to a cluster, and what else the listeners serve. */
import { bearer, LONG, SMALL, type CostRow, type Request } from './row.ts';
import type { CostStage, Sent } from './stage.ts';

const PODS = '/api/v1/namespaces/default/pods';

/** To the cluster `demo`, as alice. */
const cluster = (
  operation: string,
  worst: string,
  {
    status = 200,
    ...more
  }: Partial<CostRow> & { readonly status?: number; readonly sent?: Partial<Sent> & { readonly path?: string } },
): CostRow => {
  const { sent = {}, bound = SMALL, limiter = 'inFlight', times } = more;
  const { path = PODS, headers, ...rest } = sent;
  return {
    operation: `cluster: ${operation}`,
    worst,
    bound,
    limiter,
    ...(times === undefined ? {} : { times }),
    request: ({ urls, alice }): Request => ({
      url: urls.api + path,
      agent: alice.agent,
      headers: { ...bearer(alice.cluster), ...headers },
      ...rest,
      status,
    }),
  };
};

const jwt = (header: object, payload: string): string =>
  `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${'A'.repeat(86)}`;

const selectors = Array.from({ length: 400 }, (_, index) => `k${index}%20in%20(v)`).join(',');
const parameters = Array.from({ length: 3000 }, (_, index) => `p${index % 10}=`).join('&');

export const CLUSTER_ROWS: readonly CostRow[] = [
  cluster('a read', 'an ordinary one', {}),
  cluster('a list', 'selectors of 400 labels, and a list of what is there', {
    sent: { path: `${PODS}?labelSelector=${selectors}` },
  }),
  cluster('a query', 'three thousand parameters', {
    bound: { ...SMALL, cpuMs: 20 },
    sent: { path: `${PODS}?${parameters}` },
  }),
  cluster('a header', 'nine hundred lines of them', {
    sent: { headers: { accept: Array.from({ length: 900 }, () => '*/*') } },
  }),
  cluster('a change', 'a body of 64 kB that is no object, and its event ahead', {
    sent: { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(64_000) },
    status: 400,
  }),
  {
    operation: 'cluster: --as',
    worst: 'thirty groups, for each of which the cluster is asked whether it is allowed',
    bound: { ...SMALL, cpuMs: 60 },
    limiter: 'inFlight',
    request: ({ urls, root }): Request => ({
      url: urls.api + PODS,
      agent: root.agent,
      headers: {
        ...bearer(root.cluster),
        'impersonate-user': 'demo:alice',
        'impersonate-group': [
          'demo:admins',
          ...Array.from({ length: 29 }, (_, group) => `${'g'.repeat(100)}-${group}-${crypto.randomUUID()}`),
        ],
      },
      status: 200,
    }),
  },
  cluster('a path', 'no cluster has it, of 12 kB', { sent: { path: `/apis/${LONG}` }, status: 404 }),
  cluster('no credential', 'a query of 12 kB of names that are not UTF-8', {
    sent: { path: `/api/x?${'c%ff&'.repeat(2400)}`, headers: { authorization: '' } },
    limiter: 'connections',
    status: 401,
  }),
  cluster('a forged token', 'of 8 kB, with a symmetric algorithm', {
    sent: { headers: bearer(jwt({ alg: 'HS256', kid: 'k', typ: 'at+jwt' }, 'A'.repeat(8000))) },
    limiter: 'connections',
    status: 401,
  }),
  cluster('a token with a wrong signature', 'of 4 kB, by the algorithm that is used', {
    sent: { headers: bearer(jwt({ alg: 'ES256', kid: 'k', typ: 'at+jwt' }, 'A'.repeat(4000))) },
    limiter: 'connections',
    status: 401,
  }),
  {
    operation: 'cluster: a new connection',
    worst: 'a full handshake with a client certificate, for one request',
    bound: { ...SMALL, cpuMs: 15 },
    limiter: 'handshakes',
    request: ({ urls, alice }): Request => ({
      url: urls.api + PODS,
      agent: alice.fresh(),
      headers: bearer(alice.cluster),
      status: 200,
    }),
  },
  {
    operation: 'GET /-/ca.crt',
    worst: 'there is none worse',
    bound: SMALL,
    limiter: 'connections',
    request: ({ urls, anonymous }): Request => ({ url: `${urls.api}/-/ca.crt`, agent: anonymous, status: 200 }),
  },
  {
    operation: 'a path under /-/ that nothing serves',
    worst: 'of 12 kB',
    bound: SMALL,
    limiter: 'connections',
    request: ({ urls, anonymous }): Request => ({ url: `${urls.api}/-/${LONG}`, agent: anonymous, status: 404 }),
  },
];

const ops = (path: string, cpuMs: number): CostRow => ({
  operation: `GET ${path}`,
  worst: 'there is none worse',
  bound: { cpuMs, calls: 2, redisMs: 2, kB: 120 },
  limiter: 'network',
  request: ({ urls }: CostStage): Request => ({ url: urls.ops + path, status: 200 }),
});

export const OPS_ROWS: readonly CostRow[] = [ops('/metrics', 15), ops('/livez', 6), ops('/readyz', 6)];
