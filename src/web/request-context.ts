/**
 * One request at the web room: its id, where it came from, and, once known, who is behind it.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AppError } from '../core/errors.ts';
import type { Account, Identity } from '../core/identity.ts';
import type { SessionRecord } from '../store/store.ts';
import { socketAddress, type ClientAddress, type ClientAddressOf } from './client-address.ts';

/** Somebody whose credential was found good. */
export interface Actor {
  readonly identity: Identity;
  readonly account: Account;
  readonly session: string;
  /** Epoch seconds after which the credential is nothing any more, whatever the gate says. */
  readonly expiresAt?: number;
  /** What the provider said when the session was opened; it never changes. */
  readonly proof: Pick<SessionRecord, 'provider' | 'authTime'>;
  /** Why the session cannot be read, where a program's token says that it is an admin's: it may have a target held (holds.ts), and no more. */
  readonly unread?: AppError;
  /** Throws when the credential has stopped being good since; to be called after each await, before acting or answering. */
  assertGood(): void;
}

export interface Visit extends ClientAddress {
  /** Also the audit id, so that the id on an error page finds the line in the record. */
  readonly requestId: string;
  readonly userAgent: string;
  actor?: Actor;
  /** Who came back from the provider, while no session stands yet; so that a refusal on the record has a name. */
  person?: { readonly identity: Identity; readonly account: Account };
  /** The pending authorization that this browser has shown its cookie for; error pages then offer the way back. */
  authorization?: string;
}

const USER_AGENT_LENGTH = 256;
const visits = new WeakMap<IncomingMessage, Visit>();

/** Text from a header as it may be stored and shown: without control, invisible and bidirectional characters, and short. */
export function plainText(value: string | undefined, length: number): string {
  return (value ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, length);
}

/** The visit of a request that has no response object, such as an upgrade. */
export const plainVisit = (req: IncomingMessage, addressOf: ClientAddressOf): Visit => ({
  requestId: randomUUID(),
  ...addressOf(req),
  userAgent: plainText(req.headers['user-agent'], USER_AGENT_LENGTH),
});

/** Begins the visit of a request and puts its id on the response. */
export function beginVisit(req: IncomingMessage, res: ServerResponse, addressOf = socketAddress): Visit {
  const visit = plainVisit(req, addressOf);
  visits.set(req, visit);
  res.setHeader('X-Request-Id', visit.requestId);
  return visit;
}

/** The visit of a request that `beginVisit` has seen. */
export function visitOf(req: IncomingMessage): Visit {
  const visit = visits.get(req);
  if (visit === undefined) throw new Error('the request has no visit: beginVisit must come first');
  return visit;
}
