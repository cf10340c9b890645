/** The admin API, as admins and auditors may call it. */
import { randomUUID } from 'node:crypto';
import { open, type Others } from './cluster-rows.ts';
import { HOSTILE } from './held.ts';
import { bearer, DRILL, JSON_TYPE, PAGE, SMALL, type Bound, type CostRow, type Request } from './row.ts';
import type { CostStage, Sent } from './stage.ts';
import { OF_HOLDER, OF_REVOKED } from './state.ts';
import { ADMIN_API } from '../../../src/core/api/admin-operations.ts';

type Name = keyof (typeof ADMIN_API)['operations'];

const PREFIX = '/-/admin/api/v1';

interface AdminRow extends Pick<CostRow, 'worst'>, Partial<Pick<CostRow, 'bound' | 'limiter' | 'times'>> {
  /** In place of the path's parameters, with the query. */
  readonly path: (stage: CostStage, index: number) => string;
  readonly sent?: (stage: CostStage, index: number) => Partial<Sent> | Promise<Partial<Sent>>;
  readonly status?: number;
  /** What its account has open meanwhile. */
  readonly others?: Others;
}

const body = (value: object): Partial<Sent> => ({ headers: JSON_TYPE, body: JSON.stringify(value) });
const reason = 'r'.repeat(500);
const gone = 'A'.repeat(64);
const account = (name: string): string => encodeURIComponent(`demo/${name}`);

/** Five hundred records are unsealed; between two hundred of them others have their turn. */
const SCAN: Bound = { cpuMs: 100, calls: 90, redisMs: 50, kB: 300 };
/** All live sessions are counted, which opens none. */
const TALLY: Bound = { ...PAGE, redisMs: 48 };

/** Few, because each leaves 20 kB in the audit log, which a row below searches. */
const WATCHES: Others = { count: 40, held: { path: HOSTILE, status: 200 } };
/** The account that has them, and nothing else. */
const WATCHER = 23;
const watcher = account(`holder-${WATCHER}`);

/** Lifts what the end of one of the admin's own sessions asks for: no other session of the account is opened meanwhile. */
export async function needsNoFreshSignIn(stage: CostStage): Promise<void> {
  const { urls, root } = stage;
  const { status, text } = await stage.send({
    method: 'DELETE',
    url: `${urls.api}${PREFIX}/fresh-sign-ins/${account('root')}?reason=r`,
    agent: root.agent,
    headers: bearer(root.admin),
  });
  if (status !== 200 && status !== 404) throw new Error(`the fresh sign-in was not lifted: ${status} ${text}`);
}

const WORST: Readonly<Record<Name, AdminRow>> = {
  listSessions: {
    worst: '500 sessions, which one search reads, of users of a cluster; none of them has the text of 200 characters',
    path: () => `/sessions?limit=200&cluster=demo&search=${'w'.repeat(199)}x`,
    bound: SCAN,
  },
  getSession: {
    worst: 'a delegated session with limits of 8 kB',
    path: ({ delegated }) => `/sessions/${delegated[100] ?? ''}`,
    bound: { ...SMALL, kB: 24 },
  },
  endSession: {
    worst: 'a session with five grants',
    path: ({ crowd }, index) => `/sessions/${crowd.at(-1 - index) ?? ''}`,
    bound: PAGE,
  },
  listSessionRequests: { worst: 'no request of it is known', path: ({ own }) => `/sessions/${own[0] ?? ''}/requests` },
  createRevocation: {
    worst: `by the username of an account with ${OF_REVOKED} sessions, which is locked with it`,
    path: () => '/revocations',
    sent: (_stage, index) => body({ username: `demo:revoked-${index}`, lock: true, reason }),
    bound: { ...PAGE, redisMs: 24 },
    times: 1,
  },
  getRevocation: { worst: 'unknown, with an id of 64 characters', path: () => `/revocations/${gone}`, status: 404 },
  getRevocationScope: {
    worst: 'all users: 3,900 sessions are counted',
    path: () => '/revocation-scope?all=true',
    bound: TALLY,
  },
  listLocks: { worst: 'ten locks', path: () => '/locks' },
  createLock: {
    worst: 'an account of 512 characters that was never seen',
    path: () => '/locks',
    sent: (_stage, index) => body({ account: `demo/${'a'.repeat(500)}${index}`, force: true, reason }),
    bound: PAGE,
  },
  deleteLock: {
    worst: 'an account that is not locked',
    path: () => `/locks/${account('no-user')}?reason=${reason}`,
    status: 404,
  },
  listStreams: {
    worst: 'an account with forty open watches, whose targets of 8 kB look like addresses with passwords',
    path: () => `/streams?account=${watcher}`,
    others: WATCHES,
    times: 1,
    bound: { ...PAGE, kB: 80 },
  },
  cutStream: {
    worst: 'a stream that is not open, of the same account',
    path: () => `/streams/${randomUUID()}?account=${watcher}&reason=${reason}`,
    others: WATCHES,
    status: 404,
    times: 1,
  },
  getFreshSignIn: { worst: 'an account of 512 characters', path: () => `/fresh-sign-ins/${account('a'.repeat(500))}` },
  liftFreshSignIn: {
    worst: 'an account that needs none',
    path: () => `/fresh-sign-ins/${account('no-user')}?reason=${reason}`,
    status: 404,
  },
  listReplicas: { worst: 'as many as there are', path: () => '/replicas' },
  listClusters: { worst: 'each is checked, once in ten seconds', path: () => '/clusters' },
  listProviders: { worst: 'each is checked, once in ten seconds', path: () => '/providers' },
  listAccessRequests: {
    worst: '200 requests of a page, with the longest reasons',
    path: () => '/access?limit=200',
    bound: { cpuMs: 60, calls: 60, redisMs: 30, kB: 300 },
  },
  endAccessRequest: { worst: 'unknown', path: () => `/access/${gone}?reason=${reason}`, status: 404 },
  createDrill: {
    worst: 'a whole one, with a path of 512 characters',
    path: () => '/drills',
    sent: async (stage) => {
      await needsNoFreshSignIn(stage);
      return body({ cluster: 'demo', path: `/api/v1/namespaces?watch=1&p=${'p'.repeat(480)}`, reason });
    },
    bound: DRILL,
    times: 2,
  },
  tailAudit: {
    worst: 'a stream, with each filter as long as it may be',
    path: () => `/audit?user=${'u'.repeat(200)}&verb=get`,
    sent: () => ({ isStream: true }),
    bound: { ...SMALL, cpuMs: 20 },
    limiter: 'streams',
  },
  searchAudit: {
    worst: 'a text that nothing has, in all that there is; of 256 MiB it takes 4 s',
    path: () => `/audit/events?since=7d&user=${'u'.repeat(200)}`,
    bound: { cpuMs: 60, calls: 8, redisMs: 2, kB: 16 },
  },
  exportAudit: {
    worst: 'all that there is; 10,000 events and 16 MiB at most',
    path: () => '/audit/events.jsonl?since=7d&until=2126-01-01T00:00:00Z',
    bound: { cpuMs: 250, calls: 16, redisMs: 3, kB: 17_000 },
  },
  getOpenApi: { worst: 'there is none worse', path: () => '/openapi.json', bound: { ...SMALL, cpuMs: 10, kB: 200 } },
};

export const ADMIN_ROWS: readonly CostRow[] = (Object.keys(ADMIN_API.operations) as Name[]).map((name) => {
  const { method, path } = ADMIN_API.operations[name];
  const { path: target, sent, status = 200, bound = SMALL, limiter, others, ...rest } = WORST[name];
  return {
    ...rest,
    operation: `${method} ${PREFIX}${path}`,
    bound,
    limiter: limiter ?? (method === 'GET' ? 'reads' : 'changes'),
    async request(stage, index): Promise<Request> {
      const { headers, ...more } = (await sent?.(stage, index)) ?? {};
      const opened = others === undefined ? undefined : await open(stage, stage.holders[WATCHER * OF_HOLDER], others);
      return {
        method,
        url: stage.urls.api + PREFIX + target(stage, index),
        agent: stage.root.agent,
        headers: { ...bearer(stage.root.admin), ...headers },
        ...more,
        status,
        ...(opened === undefined ? {} : { after: opened.after }),
      };
    },
  };
});
