/** What stays open or waits: how much memory the server needs for each, and how many of them there may be. */
import { MOST_WAITING } from '../../../src/services/access/waiters.ts';
import { MOST_VIEWS_OF_REPLICA } from '../../../src/api/admin/live-views.ts';
import { MOST_TAILS_OF_REPLICA } from '../../../src/audit/live/live-tails.ts';
import { ADMIN_AUDIENCE, clusterAudience, SELF_AUDIENCE } from '../../../src/core/core.ts';
import { MOST_BODY_BYTES, MOST_PENDING } from '../../../src/core/http/pending-requests.ts';
import { perUserLimit } from '../../../src/proxy/admission/concurrency-limit.ts';
import { EXEC, PODS, WEBSOCKET, type HeldRequest, type Holding } from './held.ts';
import { bearer, FORM_TYPE, JSON_TYPE, LONG, type Limiter } from './row.ts';
import type { CostStage } from './stage.ts';
import { OF_HOLDER } from './state.ts';

export interface HeldRow {
  readonly what: string;
  readonly worst: string;
  /** Of the heap and of buffers for each, in units of 1000 bytes. What OpenSSL has of a connection is not part of it. */
  readonly kB: number;
  /** How many there may be at a replica. */
  readonly most: number;
  /** Of whom: `of an account`. */
  readonly whose: string;
  readonly limiter: Limiter;
  /** How many are opened to be measured. */
  readonly count: number;
  open(stage: CostStage, holding: Holding, index: number): Promise<void>;
}

type Request = (stage: CostStage, index: number) => HeldRequest | Promise<HeldRequest>;
type Held = Omit<HeldRow, 'open' | 'what' | 'kB'>;

/** One each for HTTP/1.1 and HTTP/2. */
const both = (
  what: string,
  {
    kB,
    request,
    ...row
  }: Held & { readonly kB: readonly [number, number]; readonly request: (account: number) => Request },
): readonly HeldRow[] => [
  {
    ...row,
    what: `${what}, HTTP/1.1`,
    kB: kB[0],
    open: async (stage, holding, index) => holding.http1(await request(0)(stage, index)),
  },
  {
    ...row,
    what: `${what}, HTTP/2`,
    kB: kB[1],
    open: async (stage, holding, index) =>
      holding.http2(`${what} ${Math.floor(index / OF_CONNECTION)}`, await request(1)(stage, index)),
  },
];

/** A quarter as many streams of one connection as there may be under `/-/`. */
const OF_CONNECTION = MOST_PENDING.connection / 4;
const MANY = 62;
const FEW = 8;

const tokens = new Map<string, Promise<string>>();

/** @param index of the session; each five are of another account */
function as(stage: CostStage, index: number, audience: string): Promise<string> {
  const key = `${audience} ${index}`;
  const token = tokens.get(key) ?? stage.holders[index]?.token(audience) ?? Promise.reject(new Error('no such holder'));
  tokens.set(key, token);
  return token;
}

const inFlight = { most: perUserLimit({}), whose: 'of an account', limiter: 'inFlight' } as const;
const pending = { most: MOST_PENDING.address, whose: 'of an address', limiter: 'pending' } as const;

export const HELD_ROWS: readonly HeldRow[] = [
  {
    what: 'a connection without a request',
    worst: 'with a client certificate; it ends when no request comes in 20 s',
    kB: 40,
    most: 2_000,
    whose: 'in all',
    limiter: 'connections',
    count: MANY,
    open: async (_stage, holding) => void (await holding.connect('http/1.1')),
  },
  {
    what: 'an unfinished head, HTTP/1.1',
    worst: '999 lines, 16 kB; it ends after 20 s',
    kB: 200,
    most: 2_000,
    whose: 'in all',
    limiter: 'connections',
    count: MANY,
    open: async (_stage, holding) =>
      void (await holding.connect('http/1.1')).write(`GET / HTTP/1.1\r\n${`a: ${'b'.repeat(14)}\r\n`.repeat(999)}`),
  },
  ...both('a watch', {
    ...inFlight,
    worst: 'a query of 12 kB',
    kB: [100, 70],
    count: MANY,
    request: (account) => async (stage) => ({
      path: `${PODS}?watch=1&w=${LONG}`,
      headers: bearer(await as(stage, account * OF_HOLDER, clusterAudience('demo'))),
      status: 200,
    }),
  }),
  {
    ...inFlight,
    what: 'an exec by WebSocket',
    worst: 'a query of 12 kB',
    kB: 130,
    count: MANY,
    open: async (stage, holding) =>
      holding.http1({
        path: EXEC,
        headers: {
          ...bearer(await as(stage, 2 * OF_HOLDER, clusterAudience('demo'))),
          connection: 'Upgrade',
          upgrade: 'websocket',
          ...WEBSOCKET,
        },
        status: 101,
      }),
  },
  ...both('a change whose body does not end', {
    ...inFlight,
    worst: 'a first piece of 16 kB, and a query of 12 kB',
    kB: [140, 100],
    count: MANY,
    request: (account) => async (stage) => ({
      method: 'POST',
      path: `${PODS}?w=${LONG}`,
      headers: {
        ...bearer(await as(stage, (3 + account) * OF_HOLDER, clusterAudience('demo'))),
        ...JSON_TYPE,
        'content-length': '1000000',
      },
      body: 'x'.repeat(16_000),
    }),
  }),
  ...both('an unfinished request to an endpoint of Portcullis', {
    ...pending,
    worst: 'all but the last byte of the longest body',
    kB: [80, 70],
    count: MANY,
    request: () => () => ({
      method: 'POST',
      path: '/-/oauth/token',
      headers: { ...FORM_TYPE, 'content-length': String(MOST_BODY_BYTES) },
      body: 'x'.repeat(MOST_BODY_BYTES - 1),
    }),
  }),
  ...both('a caller who waits for a decision about an access request', {
    most: MOST_WAITING.account,
    whose: 'of an account',
    limiter: 'waiting',
    worst: 'the longest reason',
    kB: [70, 60],
    count: 42,
    request: (protocol) => async (stage, index) => ({
      path: `/-/access/${stage.waiting[index] ?? ''}?wait=25`,
      headers: bearer(await as(stage, 50 * protocol + Math.floor(index / MOST_WAITING.session), SELF_AUDIENCE)),
    }),
  }),
  ...both('a live view of the audit log', {
    most: MOST_TAILS_OF_REPLICA,
    whose: 'in all',
    limiter: 'streams',
    worst: 'each filter as long as it may be',
    kB: [250, 150],
    count: FEW,
    request: (account) => async (stage, index) => ({
      path: `/-/admin/api/v1/audit?user=${'u'.repeat(200)}&verb=get`,
      headers: bearer(await as(stage, (10 + account) * OF_HOLDER + (index % OF_HOLDER), ADMIN_AUDIENCE)),
      status: 200,
    }),
  }),
  ...both('a live view of the replicas, or of a revocation', {
    most: MOST_VIEWS_OF_REPLICA,
    whose: 'in all',
    limiter: 'streams',
    worst: 'there is none worse',
    kB: [100, 80],
    count: 22,
    request: (account) => async (stage, index) => ({
      path: '/-/admin/api/v1/replicas',
      headers: {
        ...bearer(await as(stage, (12 + account) * OF_HOLDER + (index % OF_HOLDER), ADMIN_AUDIENCE)),
        accept: 'text/event-stream',
      },
      status: 200,
    }),
  }),
];
