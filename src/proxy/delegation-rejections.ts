/** The proxy's own responses to delegated sessions. Their clients are scripts and agents, which cannot sign in. */
import type { BoundsRejection } from '../core/delegation/bounds.ts';
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

const BOUNDS: Readonly<Record<BoundsRejection | 'cluster_not_delegable', string>> = {
  delegation_disabled: 'delegated sessions are switched off here: use your own session',
  delegation_not_allowed: 'its user may not delegate sessions any more: ask your platform team',
  delegation_client_removed:
    'the program that it was delegated to is no longer registered here: ask your platform team',
  cluster_not_delegable: 'delegated sessions may not use this cluster any more: use your own session',
};

/** Returns the rejection for a session that the configuration, or its user's groups, no longer allow. */
export const delegationBounds = (reason: keyof typeof BOUNDS, { actor }: DelegatedTo): Rejection =>
  rejection(403, 'Forbidden', `this session was delegated to ${quoted(actor)}, and ${BOUNDS[reason]}`, reason);
