/** The shape of a row of the table, the bounds that rows share, and who holds the number of requests down. */
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

export const LIMITERS = {
  reads: 'account: 600 a minute and one at a time, pages and admin API together',
  changes: 'account: 300 a minute, pages and admin API together',
  ownReads: 'account: 600 a minute',
  ownChanges: 'account: 300 a minute',
  orders: 'account or session: `limits.signInsPerMinute`, and 300 a minute',
  rejected: 'address: 120 a minute without a valid credential',
  signIns: 'address: `limits.signInsPerMinute`',
  exchanges: 'address: `limits.signInsPerMinute` rejected ones',
  refreshes: 'account: 1200 a minute; session that is not bound to a key: 120 rotations a minute',
  codes: 'address: a share of `limits.signInsPerMinute`; and all addresses together',
  logouts: 'address: 60 rejected ones a minute',
  streams: 'account and replica: a number of open streams',
  inFlight: 'account: `limits.inFlightPerPerson` at a time; cluster: four fifths of `limits.connections`',
  connections:
    'a fifth of `limits.connections` for all without a credential, and 250 streams on a connection: it is cheap',
  handshakes: 'all: those that wait are shared out over turns of the event loop',
  network: 'none: only the network of the cluster reaches this listener',
} as const;

export type Limiter = keyof typeof LIMITERS;

/** What cannot be held by number must be cheap: milliseconds of CPU. */
export const CHEAP_MS = 10;

export interface Request extends Sent {
  /** The status that shows that the work was done, or where it was rejected. */
  readonly status: number;
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

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

export const JSON_TYPE = { 'content-type': 'application/json' };
export const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };

/** As long as a head may be, with what clients send besides it. */
export const LONG = 'w'.repeat(12_000);
/** As many parameters as fit into a head. */
export const MANY = Array.from({ length: 3000 }, (_, index) => `p${index % 10}=`).join('&');

/** JSON of this many bytes, as deep as it goes. */
export const deepJson = (bytes: number): string => '['.repeat(bytes / 2) + ']'.repeat(bytes / 2);
