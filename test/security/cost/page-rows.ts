/** Pages and forms for browsers, and web consoles. */
import { randomUUID } from 'node:crypto';
import { needsNoFreshSignIn } from './admin-rows.ts';
import {
  bearer,
  DRILL,
  FORM_TYPE,
  JSON_TYPE,
  LONG,
  notUtf8,
  PAGE,
  SMALL,
  type Bound,
  type CostRow,
  type Limiter,
  type Request,
} from './row.ts';
import type { CostStage } from './stage.ts';
import { ENDED, OF_REVOKED, type Browser } from './state.ts';

interface PageRow {
  readonly worst: string;
  readonly as?: 'root' | 'alice';
  /** In place of `as`: for what ends it. */
  readonly browser?: (stage: CostStage, index: number) => Browser | undefined | Promise<Browser>;
  /** What shows that the page has what makes it dear. */
  readonly says?: string;
  /** In place of the path of the router. */
  readonly path?: (stage: CostStage, index: number) => string | Promise<string>;
  readonly form?: (stage: CostStage, index: number) => Record<string, string> | Promise<Record<string, string>>;
  readonly status?: number;
  readonly bound?: Bound;
  readonly limiter?: Limiter;
  readonly times?: number;
}

const gone = 'A'.repeat(43);
const NOTHING = 'there is none worse';
/** A form has 16 kB and 32 fields at most. */
const LONGEST = 'f'.repeat(15_000);
const NOT_UTF8 = notUtf8(12_000);
const account = (name: string): string => encodeURIComponent(`demo/${name}`);

/** Five hundred records are unsealed; between two hundred of them others have their turn. */
const SCAN: Bound = { cpuMs: 140, calls: 90, redisMs: 50, kB: 64 };
/** All live sessions are counted, which opens none. */
const TALLY: Bound = { ...PAGE, redisMs: 48 };

/** A replica of a busy machine has no lease for a moment. Then the page has none either, and the request is sent again. */
const NONE = 'BBBB-BBBB';

const revocations = new WeakMap<CostStage, Promise<string>>();

/** @returns the id of a revocation of an account with so many sessions, once it is proven */
function revoked(stage: CostStage): Promise<string> {
  const known = revocations.get(stage) ?? revoke(stage);
  revocations.set(stage, known);
  return known;
}

async function revoke(stage: CostStage): Promise<string> {
  const { urls, root } = stage;
  const id = randomUUID();
  const { status, text } = await stage.send({
    method: 'POST',
    url: `${urls.api}/-/admin/api/v1/revocations`,
    agent: root.agent,
    headers: { ...bearer(root.admin), ...JSON_TYPE },
    body: JSON.stringify({ account: `demo/${ENDED}`, requestId: id, reason: 'r'.repeat(500) }),
  });
  if (status !== 200) throw new Error(`the revocation failed: ${status} ${text}`);
  return id;
}

/** A browser that no one has signed in with, at the page for codes. */
async function opened(stage: CostStage, page: string): Promise<Browser> {
  const { cookie, text } = await stage.send({ url: stage.urls.web + page });
  return { cookie, csrf: /name="csrf" value="([^"]*)"/.exec(text)?.[1] ?? '' };
}

async function deviceCode(stage: CostStage): Promise<string> {
  const { urls, alice } = stage;
  const { status, text } = await stage.send({
    method: 'POST',
    url: `${urls.api}/-/oauth/device`,
    agent: alice.agent,
    headers: FORM_TYPE,
    body: 'client_id=portcullis-cli&scope=kubernetes',
  });
  return status === 200 ? String((JSON.parse(text) as Record<string, unknown>)['user_code']) : NONE;
}

async function stepUpCode(stage: CostStage): Promise<string> {
  const { urls, alice } = stage;
  const { status, text } = await stage.send({
    method: 'POST',
    url: `${urls.api}/-/step-up`,
    agent: alice.agent,
    headers: { ...bearer(alice.self), ...JSON_TYPE },
    body: '{}',
  });
  return status === 201 ? String((JSON.parse(text) as Record<string, unknown>)['userCode']) : NONE;
}

const SIGNED_OUT: Readonly<Record<string, PageRow>> = {
  'GET /assets/:name': { worst: 'an unknown file', path: () => `/assets/${LONG}`, status: 404 },
  'GET /assets/:version/:name': { worst: 'a script', path: () => `/assets/${gone}/pages.js` },
  'POST /backchannel-logout/:name': {
    worst: 'a logout token of 16 kB that is not signed',
    path: () => '/backchannel-logout/demo',
    form: () => ({ logout_token: `e30.${'A'.repeat(15_000)}.AAAA` }),
    status: 400,
    limiter: 'logouts',
  },
  'GET /': { worst: 'a query of 12 kB that is not UTF-8', path: () => `/?${NOT_UTF8}` },
  'GET /login': { worst: 'a query of 12 kB that is not UTF-8', path: () => `/login?${NOT_UTF8}`, status: 303 },
  'GET /login/start': {
    worst: 'a sign-in, which is stored',
    path: () => '/login/start?provider=demo&to=me',
    status: 303,
    limiter: 'signIns',
  },
  'GET /login/fresh': { worst: 'without a session', path: () => '/login/fresh', status: 400, limiter: 'signIns' },
  'GET /login/finish': { worst: 'an unknown state', path: () => `/login/finish?state=${LONG}`, status: 400 },
  'GET /callback/:provider': {
    worst: 'an unknown state, with a code of 12 kB',
    path: () => `/callback/demo?state=${gone}&code=${LONG}`,
    status: 400,
  },
  'GET /callback/:provider (not UTF-8)': {
    worst: 'a query of 12 kB',
    path: () => `/callback/demo?${NOT_UTF8}`,
    status: 400,
  },
  'GET /login/done': { worst: NOTHING },
  'GET /login/:uid': { worst: 'an unknown one', path: () => `/login/${gone}`, status: 400 },
  'GET /login/:uid/choose': { worst: 'an unknown one', path: () => `/login/${gone}/choose`, status: 400 },
  'GET /login/:uid/start': {
    worst: 'an unknown one',
    path: () => `/login/${gone}/start?provider=demo`,
    status: 400,
    limiter: 'signIns',
  },
  'GET /login/:uid/finish': { worst: 'an unknown one', path: () => `/login/${gone}/finish`, status: 400 },
  'GET /login/:uid/refuse': { worst: 'an unknown one', path: () => `/login/${gone}/refuse`, status: 400 },
  'GET /device': { worst: 'a query of 12 kB that is not UTF-8', path: () => `/device?${NOT_UTF8}` },
  'POST /device': {
    worst: 'a right code',
    browser: (stage) => opened(stage, '/device'),
    form: async (stage) => ({ user_code: await deviceCode(stage) }),
    limiter: 'codes',
  },
  'GET /device/start': {
    worst: 'an unknown ticket',
    path: () => `/device/start?ticket=${gone}&provider=demo`,
    status: 400,
    limiter: 'signIns',
  },
  'GET /device/finish': { worst: 'an unknown state', path: () => `/device/finish?state=${gone}`, status: 400 },
  'POST /device/refuse': { worst: 'an unknown ticket', form: () => ({ ticket: gone }), status: 400 },
  'GET /device/done': { worst: NOTHING },
  'GET /step-up': { worst: NOTHING },
  'POST /step-up': {
    worst: 'a right code',
    browser: (stage) => opened(stage, '/step-up'),
    form: async (stage) => ({ user_code: await stepUpCode(stage) }),
    limiter: 'codes',
  },
  'POST /step-up/deny': { worst: 'an unknown one', form: () => ({ id: gone }), status: 400 },
  'GET /step-up/finish': { worst: 'an unknown state', path: () => `/step-up/finish?state=${gone}`, status: 400 },
  'GET /step-up/done': { worst: NOTHING },
  'GET /step-up/:id': { worst: 'an unknown one', path: () => `/step-up/${gone}`, status: 400 },
  'GET /step-up/:id/start': {
    worst: 'an unknown one',
    path: () => `/step-up/${gone}/start?provider=demo`,
    status: 400,
    limiter: 'signIns',
  },
};

const SIGNED_IN: Readonly<Record<string, PageRow>> = {
  'GET /step-up/me': { worst: NOTHING },
  'GET /step-up/me/start': { worst: 'without what began it', status: 400, limiter: 'signIns' },
  'GET /me': { worst: 'an account with 880 delegated sessions', as: 'alice', bound: { ...PAGE, kB: 120 } },
  'GET /me/kubeconfig': { worst: 'each cluster', as: 'alice' },
  'GET /me/sessions/:id': {
    worst: 'a session with 880 beneath it, each with limits of 8 kB',
    as: 'alice',
    path: ({ alice }) => `/me/sessions/${alice.session}`,
    bound: { ...PAGE, cpuMs: 50, kB: 120 },
  },
  'POST /me/sessions/:id/end': {
    worst: 'a delegated session',
    as: 'alice',
    path: ({ delegated }, index) => `/me/sessions/${delegated.at(-1 - index) ?? ''}/end`,
    form: () => ({}),
    bound: PAGE,
  },
  'GET /me/end-others': { worst: 'an account with 880 sessions', bound: { ...PAGE, redisMs: 36 } },
  'POST /me/end-others': {
    worst: 'twenty sessions; each further one costs as much again, and took a sign-in',
    browser: ({ leavers }, index) => leavers[index],
    times: 1,
    form: () => ({}),
    bound: { cpuMs: 80, calls: 130, redisMs: 25, kB: 16 },
  },
  'POST /logout': {
    worst: 'the end of a session',
    browser: ({ leavers }, index) => leavers.at(-1 - index),
    times: 1,
    form: () => ({}),
    status: 303,
    bound: PAGE,
  },
  'GET /access': {
    worst: 'an approver for whom 500 requests wait, with 880 sessions',
    path: () => '/access?role=shop-admins',
    bound: { ...PAGE, kB: 120 },
  },
  'GET /access/:id': {
    worst: 'the longest reason',
    path: ({ waiting }) => `/access/${waiting[120] ?? ''}`,
    bound: PAGE,
  },
  'POST /access': {
    worst: 'an unknown role, with a reason of 15 kB',
    form: () => ({ role: 'none', reason: LONGEST }),
    status: 400,
    bound: { ...PAGE, kB: 120 },
  },
  'POST /access/:id/approve': {
    worst: 'a role that was changed, with the longest reason',
    path: ({ waiting }, index) => `/access/${waiting.at(-100 - index) ?? ''}/approve`,
    form: () => ({ reason: 'r'.repeat(500) }),
    bound: PAGE,
    status: 409,
  },
  'POST /access/:id/deny': {
    worst: 'a role that was changed, with the longest reason',
    path: ({ waiting }, index) => `/access/${waiting.at(-140 - index) ?? ''}/deny`,
    form: () => ({ reason: 'r'.repeat(500) }),
    bound: PAGE,
    status: 409,
  },
  'POST /access/:id/end': { worst: 'unknown', path: () => `/access/${gone}/end`, form: () => ({}), status: 404 },
  'GET /admin/overview': {
    worst: 'the audit log is searched for rejections, with 500 access requests that wait and a thousand grants',
    bound: { ...PAGE, cpuMs: 110, calls: 80, redisMs: 40 },
  },
  'GET /admin': {
    worst: 'a text of 200 characters that none of 500 sessions has, which one search reads',
    path: () => `/admin?search=${'w'.repeat(199)}x`,
    bound: SCAN,
  },
  'GET /admin/accounts/:account': {
    worst:
      'an account with 880 delegated sessions, each with limits of 8 kB, that has asked for access 200 times today',
    path: () => `/admin/accounts/${account('alice')}`,
    bound: { ...PAGE, cpuMs: 80, redisMs: 24 },
  },
  'GET /admin/sessions/:id': {
    worst: 'a session with 880 beneath it, each with limits of 8 kB',
    path: ({ alice }) => `/admin/sessions/${alice.session}`,
    bound: { ...PAGE, cpuMs: 40, kB: 120 },
  },
  'GET /admin/sessions/:id (ended)': {
    worst: 'one that did nothing, which the audit log is searched for, for 2 s at most',
    path: () => `/admin/sessions/${gone.slice(0, 22)}`,
    status: 404,
    bound: { ...PAGE, cpuMs: 40 },
  },
  'GET /admin/revoke': {
    worst: 'all users, of 3,900 sessions that are counted',
    path: () => '/admin/revoke?kind=all',
    bound: TALLY,
  },
  'POST /admin/revoke': {
    worst: 'all users without the word, with a reason of 15 kB: the form again, of 3,900 sessions that are counted',
    form: () => ({ kind: 'all', reason: LONGEST, requestId: randomUUID() }),
    status: 400,
    bound: TALLY,
  },
  'GET /admin/revocations': { worst: NOTHING, path: () => '/admin/revocations', status: 303 },
  'GET /admin/revocations/:id': {
    worst: `${OF_REVOKED} sessions, and the audit log is searched for what ended with them, for a second at most`,
    path: async (stage) => `/admin/revocations/${await revoked(stage)}`,
    says: ENDED,
    bound: { ...PAGE, cpuMs: 60, kB: 120 },
  },
  'GET /admin/access': { worst: 'a page of requests with the longest reasons', bound: PAGE },
  'GET /admin/locks': { worst: 'ten locks' },
  'POST /admin/unlock': {
    worst: 'an account that is not locked',
    form: () => ({ account: 'demo/no-user', reason: 'r'.repeat(500) }),
    status: 404,
  },
  'POST /admin/cut-stream': {
    worst: 'a stream that is open nowhere',
    form: () => ({ account: 'demo/no-user', reason: 'r'.repeat(500), auditId: randomUUID() }),
    status: 404,
  },
  'POST /admin/lift-fresh-sign-in': {
    worst: 'an account that needs none',
    form: () => ({ account: 'demo/no-user', reason: 'r'.repeat(500), since: '9999999999' }),
    status: 404,
  },
  'GET /admin/replicas': { worst: NOTHING, status: 303 },
  'GET /admin/audit': {
    worst: 'a search that finds nothing; of 256 MiB it takes 4 s',
    path: () => '/admin/audit?since=7d&verb=never',
    bound: { ...PAGE, cpuMs: 40 },
  },
  'GET /admin/health': { worst: NOTHING, status: 303 },
  'GET /admin/drill': { worst: NOTHING },
  'POST /admin/drill': {
    worst: 'a whole one, with a path of 512 characters',
    form: async (stage) => {
      await needsNoFreshSignIn(stage);
      return { cluster: 'demo', path: `/api/v1/namespaces?watch=1&p=${'p'.repeat(480)}`, reason: 'r' };
    },
    bound: DRILL,
    times: 2,
  },
  'GET /consoles/:name': {
    worst: 'without the state that belongs to it',
    path: () => '/consoles/headlamp',
    status: 303,
  },
  'GET /consoles/:name/enter': {
    worst: 'a code for the console',
    path: (_stage, index) => `/consoles/headlamp/enter?state=${String(index).padStart(43, 'A')}`,
    status: 303,
    limiter: 'reads',
  },
};

function rowsOf(pages: Readonly<Record<string, PageRow>>, isSignedIn: boolean): readonly CostRow[] {
  return Object.entries(pages).map(([operation, row]) => {
    const { worst, as = 'root', browser, path, form, status = 200, says = '', bound = SMALL, times } = row;
    const [method, routed] = operation.split(' ') as ['GET' | 'POST', string];
    const calls = method === 'GET' ? 'reads' : 'changes';
    return {
      operation,
      worst,
      bound,
      limiter: row.limiter ?? (isSignedIn ? calls : 'connections'),
      ...(times === undefined ? {} : { times }),
      async request(stage, index): Promise<Request> {
        const usual = as === 'root' ? stage.rootBrowser : stage.aliceBrowser;
        const { cookie, csrf } = (await browser?.(stage, index)) ?? usual;
        const fields = await form?.(stage, index);
        const isKnown = isSignedIn || browser !== undefined;
        const body = fields && new URLSearchParams({ ...(isKnown ? { csrf } : {}), ...fields }).toString();
        return {
          method,
          url: stage.urls.web + ((await path?.(stage, index)) ?? routed),
          headers: {
            ...(isKnown ? { cookie } : {}),
            ...(body === undefined ? {} : { ...FORM_TYPE, origin: stage.urls.web }),
          },
          ...(body === undefined ? {} : { body }),
          status,
          says,
        };
      },
    };
  });
}

const CONSOLE_ROWS: readonly CostRow[] = [
  {
    operation: 'a request to the host of a web console, without a session there',
    worst: 'a cookie of 12 kB',
    bound: SMALL,
    limiter: 'connections',
    request: ({ urls }) => ({
      url: `${urls.web}/`,
      headers: { host: `headlamp.localhost:${new URL(urls.web).port}`, cookie: `c=${LONG}`, accept: 'text/html' },
      status: 303,
    }),
  },
];

export const PAGE_ROWS: readonly CostRow[] = [
  ...rowsOf(SIGNED_OUT, false),
  ...rowsOf(SIGNED_IN, true),
  ...CONSOLE_ROWS,
];
