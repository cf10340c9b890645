/** The shape of a row of the table, the bounds that rows share, and who holds the number of requests down. */
import { MOST_WAITING } from '../../../src/services/access/waiters.ts';
import { MOST_PENDING } from '../../../src/core/http/pending-requests.ts';
import { CALLS_PER_MINUTE } from '../../../src/http/call-limits.ts';
import type { CostStage, Sent } from './stage.ts';

/** Of one request. */
export interface Bound {
  /** Milliseconds of CPU of the server's process: user and system, all threads. */
  readonly cpuMs: number;
  /** Scripts and commands that Redis is sent. */
  readonly calls: number;
  /** Milliseconds for which Redis does nothing else. */
  readonly redisMs: number;
  /** Of the response, in units of 1000 bytes. */
  readonly kB: number;
}

export interface Limit {
  /** Who may have how many. */
  readonly says: string;
  /** Tests that use it up: the file beneath `test`, and how the title begins. None: it rejects nothing. */
  readonly tests: readonly (readonly [file: string, title: string])[];
}

const ADMIN_CALLS = 'integration/admin-api-calls.test.ts';
const DEVICE = 'integration/device.test.ts';
const LIMITS = 'integration/limits.test.ts';
const OWN = ['unit/api/own-limits.test.ts', 'has a limit on the %s of an account: 429 with Retry-After'] as const;

export const LIMITERS = {
  reads: {
    says: `account: ${CALLS_PER_MINUTE.reads} a minute and one at a time, pages and admin API together`,
    tests: [
      [ADMIN_CALLS, 'pages count as calls: too many requests for pages get 429'],
      ['unit/web/browser/guards.test.ts', 'an account has one page and one read at a time'],
    ],
  },
  changes: {
    says: `account: ${CALLS_PER_MINUTE.changes} a minute, pages and admin API together`,
    tests: [[ADMIN_CALLS, 'five hundred sessions can be revoked one by one in less than a minute of waiting']],
  },
  ownReads: { says: `account: ${CALLS_PER_MINUTE.reads} a minute`, tests: [OWN] },
  ownChanges: { says: `account: ${CALLS_PER_MINUTE.changes} a minute`, tests: [OWN] },
  orders: {
    says: `account, and as many again for all its delegated sessions: \`limits.signInsPerMinute\`, and ${CALLS_PER_MINUTE.changes} a minute`,
    tests: [OWN, ['integration/delegated-sessions.test.ts', 'are made only so fast by all delegated sessions']],
  },
  rejected: {
    says: `address: ${CALLS_PER_MINUTE.rejected} a minute without a valid credential`,
    tests: [[ADMIN_CALLS, 'without a credential get 429']],
  },
  signIns: {
    says: 'address: `limits.signInsPerMinute`',
    tests: [
      ['integration/sign-in-flood.test.ts', 'may begin so many sign-ins a minute'],
      [DEVICE, 'is audited where too many codes are begun from one address'],
    ],
  },
  exchanges: {
    says: 'address: `limits.signInsPerMinute` rejected ones',
    tests: [['integration/workload.test.ts', 'is admitted whatever else comes from its address']],
  },
  refreshes: {
    says: 'account: 1200 a minute; session that is not bound to a key: 120 rotations a minute',
    tests: [
      ['unit/oauth/refresh-rotation.test.ts', 'lets an account refresh 1200 times within a minute'],
      ['integration/public-clients.test.ts', 'must wait where it refreshes in a loop'],
    ],
  },
  codes: {
    says: 'address: a share of `limits.signInsPerMinute`; and all addresses together',
    tests: [
      [DEVICE, 'has three tries a minute'],
      ['unit/web/step-up/code.test.ts', 'anyone who guesses codes is soon told to wait'],
    ],
  },
  logouts: {
    says: 'address: 120 rejected ones a minute',
    tests: [['unit/web/sign-in/backchannel-logout.test.ts', 'is accepted whatever else came from its address']],
  },
  streams: {
    says: 'replica: a number of open streams, of which one account has four fifths at most',
    tests: [
      ['integration/audit-tail.test.ts', 'accept eight tails of one account each, reject the next with 429'],
      ['integration/live-views.test.ts', 'are rejected with 429 for an account that has forty'],
    ],
  },
  waiting: {
    says: `session: ${MOST_WAITING.session} at a time; account: ${MOST_WAITING.account}; all: ${MOST_WAITING.all}`,
    tests: [
      ['unit/services/access/waiters.test.ts', 'a session waits for four requests at a time, an account for twenty'],
    ],
  },
  inFlight: {
    says: 'account: `limits.inFlightPerUser` at a time; cluster: four fifths of `limits.connections`, a tenth of them for the first eight of each account',
    tests: [
      [LIMITS, 'counts requests and watches over all sessions of the user; beyond it 429'],
      [LIMITS, 'wait for their own connections, and are told to try again'],
      ['integration/clusters.test.ts', 'may use no more than its share of connections when it hangs: it gets 429'],
      ['unit/proxy/admission/concurrency-limit.test.ts', 'keeps a tenth of a cluster for the first eight requests'],
    ],
  },
  pending: {
    says: `connection: ${MOST_PENDING.connection} at a time; address: ${MOST_PENDING.address}; all: ${MOST_PENDING.all}`,
    tests: [
      ['security/unfinished-requests.test.ts', 'are limited by connection, where a credential was accepted on it'],
      ['security/unfinished-requests.test.ts', 'are limited by address, and give way'],
      ['security/unfinished-requests.test.ts', 'are limited in all, from however many addresses they come'],
    ],
  },
  connections: {
    says: 'a fifth of `limits.connections` for all without a credential, a sixteenth for an account, each counted by the bytes of its handshake; fewer where memory is short; and 250 streams on a connection, 32 before a credential is accepted: it is cheap',
    tests: [
      ['security/connection-limit.test.ts', 'connections without a credential have a fifth'],
      ['unit/proxy/listener/connection-limit.test.ts', 'closes the idle ones of an account beyond its share'],
      [LIMITS, 'beyond `limits.connections` are not accepted'],
    ],
  },
  handshakes: {
    says: 'all: those that wait are shared out over turns of the event loop',
    tests: [['integration/shared-turns.test.ts', '16 handshakes of clients are processed in one turn']],
  },
  network: { says: 'none: only the network of the cluster reaches this listener', tests: [] },
} as const satisfies Readonly<Record<string, Limit>>;

export type Limiter = keyof typeof LIMITERS;

/** What cannot be held by number must be cheap: milliseconds of CPU. */
export const CHEAP_MS = 10;

export interface Request extends Sent {
  /** The status that shows that the work was done, or where it was rejected. */
  readonly status: number;
  /** In the text of the response: what shows it where the status does not. */
  readonly says?: string;
  /** Once it was measured. */
  readonly after?: () => void;
}

export interface CostRow {
  /** Method and path as in the router; or what kind of request it is. */
  readonly operation: string;
  /** The worst input that is permitted. */
  readonly worst: string;
  readonly bound: Bound;
  readonly limiter: Limiter;
  /** How often it is sent to be measured, after one that is not counted. Default: 6. */
  readonly times?: number;
  /** @param index counts from 0, for what can be used once */
  readonly request: (stage: CostStage, index: number) => Request | Promise<Request>;
}

/** A look-up, or a rejection. */
export const SMALL: Bound = { cpuMs: CHEAP_MS, calls: 32, redisMs: 6, kB: 16 };
/** A page, or a list of one page's length. */
export const PAGE: Bound = { cpuMs: 25, calls: 60, redisMs: 12, kB: 64 };

/** A session is opened, watched at each replica, and revoked. Half a second of what the server does by itself is part of it. */
export const DRILL: Bound = { cpuMs: 100, calls: 300, redisMs: 40, kB: 16 };

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

export const JSON_TYPE = { 'content-type': 'application/json' };
export const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };

/** As long as a head may be, with what clients send besides it. */
export const LONG = 'w'.repeat(12_000);
/** Names and values that are not UTF-8, as many as fit into so many bytes: decoding them by exceptions costs most. */
export const notUtf8 = (bytes: number): string => '%ff=%ff&'.repeat(bytes / 8);

/** JSON of this many bytes, as deep as it goes. */
export const deepJson = (bytes: number): string => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2);
