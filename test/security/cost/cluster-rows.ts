/** Kubernetes requests until they are sent to a cluster, and what else the listeners serve. */
import { setTimeout as pause } from 'node:timers/promises';
import { clusterAudience } from '../../../src/core/core.ts';
import { EXEC, Holding, HOSTILE, PODS, Unavailable, WEBSOCKET, type HeldRequest } from './held.ts';
import type { Holder } from './holders.ts';
import { bearer, JSON_TYPE, LONG, PAGE, SMALL, type CostRow, type Request } from './row.ts';
import { IN_FLIGHT, OF_ACCOUNT, type CostStage, type Sent } from './stage.ts';
import { CHAIN_NAME, OF_HOLDER } from './state.ts';

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

/** Of the session that has as many above it as may be, with limits as large as may be. */
const delegated = (operation: string, name: string, status: number): CostRow => ({
  operation: `cluster: ${operation}`,
  worst: 'four delegated sessions above one another, with limits of 8 kB',
  bound: SMALL,
  limiter: 'inFlight',
  request: async ({ urls, alice, chain }): Promise<Request> => ({
    url: `${urls.api}/apis/apps/v1/namespaces/default/deployments/${name}`,
    agent: alice.agent,
    headers: bearer(await chain.last.token(clusterAudience('demo'))),
    status,
  }),
});

export interface Others {
  readonly count: number;
  readonly held: HeldRequest;
}

/** Sessions of accounts that have nothing else open. */
const FIRST_CUT = 100;
const OF_CONNECTION = 100;

/** What one session has open, so that requests meet it. A replica of a busy machine has no lease for a moment: then all are opened again. */
export async function open(
  stage: CostStage,
  holder: Holder | undefined,
  { count, held }: Others,
): Promise<{ readonly token: string; readonly after: () => void }> {
  const holding = new Holding(stage);
  const token = (await holder?.token(clusterAudience('demo'))) ?? '';
  const sent = { ...held, headers: { ...held.headers, ...bearer(token) } };
  const each = Array.from({ length: count }, (_, index) =>
    holding.http2(String(Math.floor(index / OF_CONNECTION)), sent),
  );
  const opened = await Promise.allSettled(each);
  await stage.quiet();
  const isUnavailable = (one: PromiseSettledResult<unknown>): boolean =>
    one.status === 'rejected' && one.reason instanceof Unavailable;
  if (holding.lost === 0 && !opened.some(isUnavailable)) return { token, after: () => holding.close() };
  holding.close();
  await pause(500);
  return open(stage, holder, { count, held });
}

/** A request of an account that has so many others open. */
async function beside(
  stage: CostStage,
  account: number,
  { status, ...others }: Others & { readonly status: number },
): Promise<Request> {
  const { token, after } = await open(stage, stage.holders[account * OF_HOLDER], others);
  return {
    method: 'POST',
    url: stage.urls.api + PODS,
    agent: stage.alice.agent,
    headers: { ...bearer(token), ...JSON_TYPE },
    body: '{}',
    status,
    after,
  };
}

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
  cluster('a watch', 'a query of 12 kB; from its begin to its end', {
    bound: { ...SMALL, cpuMs: 20 },
    sent: { path: `${PODS}?watch=1&w=${LONG}`, isStream: true },
  }),
  cluster('an exec by WebSocket', 'a query of 12 kB; with its connection, from its begin to its end', {
    bound: { ...SMALL, cpuMs: 40 },
    sent: { path: EXEC, headers: WEBSOCKET, upgrade: 'websocket' },
    status: 101,
  }),
  delegated('a delegated request', CHAIN_NAME, 404),
  delegated('a delegated request that its limits reject', `${'n'.repeat(52)}-0`, 403),
  {
    operation: 'cluster: a request beyond those that an account may have in flight',
    worst: 'the others are watches',
    bound: { ...SMALL, cpuMs: 20 },
    limiter: 'inFlight',
    times: 1,
    request: (stage) =>
      beside(stage, 21, { count: IN_FLIGHT, held: { path: `${PODS}?watch=1`, status: 200 }, status: 429 }),
  },
  {
    operation: 'cluster: a request that waits for a connection to the cluster',
    worst: 'a third of a second, behind as many bodies that do not end as one account may have',
    bound: { ...SMALL, cpuMs: 25 },
    limiter: 'inFlight',
    times: 1,
    request: async (stage) => ({
      ...(await beside(stage, 22, {
        count: OF_ACCOUNT + 3,
        held: { method: 'POST', path: PODS, headers: { ...JSON_TYPE, 'content-length': '1000' }, body: '{' },
        status: 0,
      })),
      leaveAfterMs: 300,
    }),
  },
  {
    operation: 'the end of sixty watches of a session',
    worst: 'by an admin, who waits until each is cut; their targets of 8 kB look like addresses with passwords',
    bound: { ...PAGE, cpuMs: 60 },
    limiter: 'changes',
    times: 1,
    async request(stage, index): Promise<Request> {
      const holder = stage.holders[FIRST_CUT + index];
      const { after } = await open(stage, holder, { count: 60, held: { path: HOSTILE, status: 200 } });
      return {
        method: 'DELETE',
        url: `${stage.urls.api}/-/admin/api/v1/sessions/${holder?.session ?? ''}?reason=cost`,
        agent: stage.root.agent,
        headers: bearer(stage.root.admin),
        status: 200,
        after,
      };
    },
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
