/** The proxy's own responses to delegated sessions. Their clients are scripts and agents, which cannot sign in. */
import { rbacDenial } from '../core/http/impersonation.ts';
import { rejection } from './rejections.ts';
import type { Rejection } from './status.ts';

/** What a message says of a delegated session. */
export interface DelegatedTo {
  /** `actorText` of its actors. */
  readonly actor: string;
  /** `describeLimits` of its limits. */
  readonly rights: string;
}

const quoted = (text: string): string => JSON.stringify(text);

/**
 * Returns the rejection for what the limits do not allow: the API server's own message, and what to do.
 * @param username of the user whose session it is
 */
export function delegationLimit(
  username: string,
  about: Parameters<typeof rbacDenial>[1],
  { actor, rights }: DelegatedTo,
): Rejection {
  const message = `${rbacDenial(username, about)}: this session was delegated to ${quoted(actor)}: ${rights}; run it in your own session, or delegate more`;
  return rejection(403, 'Forbidden', message, 'delegation_limit');
}

/** @param address of the client */
export function delegationSource(address: string, { actor }: DelegatedTo): Rejection {
  const message = `this session was delegated to ${quoted(actor)} for use from other addresses than ${address}: use it where it was meant to be used, or ask its user to delegate again`;
  return rejection(403, 'Forbidden', message, 'delegation_source');
}
