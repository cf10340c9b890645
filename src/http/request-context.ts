/**
 * HTTP: what the pages and the APIs for programs share of a request.
 *
 * Owns: the context of a request, the client's address, its Bearer token, the rate limits of calls, the HTTP status and the
 * problem document of each error, and the audit event of what a request did. Must not know: any route, page or other
 * response body, or who may do what.
 *
 * This file has the context: the request's id, its address and, once known, its user.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AppError } from '../core/errors.ts';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { SessionRecord } from '../store/store.ts';
import { socketAddress, type ClientAddress, type ClientAddressOf } from './client-address.ts';
import { openRequest } from '../contracts/open-request.ts';

/** A user or workload whose credential was verified. */
export interface Actor {
  readonly identity: Identity;
  readonly account: Account;
  readonly session: string;
  /** Epoch seconds after which the credential is no longer valid, whatever the revocation guard says. */
  readonly expiresAt?: number;
  /** The provider's claim from the last proof: from when the session was opened, or from a step-up. */
  readonly proof: Pick<SessionRecord, 'provider' | 'authTime'>;
  /**
   * The error why the session cannot be read, where a program's token says that it is an admin's. Such an actor may
   * have a target held (src/services/admin/holds.ts), and nothing else.
   */
  readonly unread?: AppError;
  /** Throws when the credential is no longer valid. Call it after each await, before acting or responding. */
  assertValid(): void;
  /** Registers something in flight with the revocation guard, as this credential's; `close` when it has ended. */
  register(flight: { cut(): void }): { close(): void };
}

/** Whether an actor's credential is valid at this moment. */
export function isValid(actor: Pick<Actor, 'assertValid'>): boolean {
  try {
    actor.assertValid();
    return true;
  } catch {
    return false;
  }
}

export interface RequestContext extends ClientAddress {
  /** Also the audit id, so that the id on an error page finds the event in the audit log. */
  readonly requestId: string;
  readonly userAgent: string;
  actor?: Actor;
  /**
   * The user who came back from the provider, while there is no session yet: a rejection is audited with their
   * name.
   */
  user?: { readonly identity: Identity; readonly account: Account };
  /** The pending authorization that this browser has shown its cookie for; error pages then offer the way back. */
  authorization?: string;
}

const USER_AGENT_LENGTH = 256;
const contexts = new WeakMap<IncomingMessage, RequestContext>();

/**
 * Returns a header's text without control, invisible and bidirectional characters, shortened, so that it may be
 * stored.
 */
export function plainText(value: string | undefined, length: number): string {
  return (value ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, length);
}

/** Returns the context of a request that has no response object, such as an upgrade. */
export const createContext = (req: IncomingMessage, addressOf: ClientAddressOf): RequestContext => ({
  requestId: randomUUID(),
  ...addressOf(req),
  userAgent: plainText(req.headers['user-agent'], USER_AGENT_LENGTH),
});

/** Creates the context of a request and sets its id on the response. */
export function beginContext(req: IncomingMessage, res: ServerResponse, addressOf = socketAddress): RequestContext {
  const context = createContext(req, addressOf);
  contexts.set(req, context);
  res.setHeader('X-Request-Id', context.requestId);
  return context;
}

/** Notes the user of a request, once the credential is verified. */
export function noteActor(req: IncomingMessage, actor: Actor): void {
  contextOf(req).actor = actor;
  openRequest(req)?.assign(actor.account);
}

/** Returns the user of a request; undefined where they are not known. */
export const actorOf = (req: IncomingMessage): Actor | undefined => contexts.get(req)?.actor;

/** Returns who waits for the response to a request: the account, and whether they have gone. */
export const waiterOf = (
  req: IncomingMessage & { readonly res?: ServerResponse | undefined },
): { readonly account: Account; readonly isAbandoned: () => boolean } => ({
  account: knownActorOf(req).account,
  isAbandoned: () => req.res?.destroyed === true,
});

/** @throws Error where no one was identified, which is a programming error */
export function knownActorOf(req: IncomingMessage): Actor {
  const { actor } = contextOf(req);
  if (actor === undefined) throw new Error('the caller must be identified first');
  return actor;
}

/**
 * Returns the context that `beginContext` has created.
 * @throws Error where there is none, which is a programming error
 */
export function contextOf(req: IncomingMessage): RequestContext {
  const context = contexts.get(req);
  if (context === undefined) throw new Error('the request has no context: beginContext must come first');
  return context;
}
