/**
 * The proxy's own responses to requests that need a more recent proof. Always 403: client-go takes a 401 for a credential that
 * is no good any more, throws it away, and asks the plugin for another with the same proof.
 */
import { durationText } from '../core/identity/freshness.ts';
import { rbacDenial } from '../core/http/impersonation.ts';
import { rejection } from './rejections.ts';
import type { Rejection } from './status.ts';

/** Who asks, which decides what can be done about it. */
export type StepUpCaller =
  /** A user's own session that the command line holds. */
  | { readonly kind: 'user' }
  /** A browser, through a web console. */
  | { readonly kind: 'browser' }
  /** A client without the command. @param name as in the configuration */
  | { readonly kind: 'third-party'; readonly name: string }
  /** @param actor `actorText` of its actors */
  | { readonly kind: 'delegated'; readonly actor: string }
  | { readonly kind: 'workload' }
  /** The provider was changed since the session began, so that it proves nothing any more. */
  | { readonly kind: 'unprovable' };

/** @param maxAge seconds */
export function stepUpNeeded(
  username: string,
  about: Parameters<typeof rbacDenial>[1],
  { caller, maxAge, publicUrl }: { readonly caller: StepUpCaller; readonly maxAge: number; readonly publicUrl: string },
): Rejection {
  const needs = `this needs a sign-in at the identity provider in the last ${durationText(maxAge)}`;
  const message = `${rbacDenial(username, about)}: ${needs}${nextStep(caller, publicUrl)}`;
  return rejection(403, 'Forbidden', message, 'step_up_needed');
}

function nextStep(caller: StepUpCaller, publicUrl: string): string {
  switch (caller.kind) {
    case 'user':
      return `; run: portcullis step-up --server ${publicUrl}`;
    case 'browser':
      return `; open ${publicUrl}/step-up/me, sign in there, then try again`;
    case 'third-party':
      return `, which ${caller.name} cannot ask for: use kubectl with the portcullis plugin; run: portcullis step-up --server ${publicUrl}`;
    case 'delegated':
      return `, which a session that was delegated to ${JSON.stringify(caller.actor)} never has: its user's own session must do it`;
    case 'workload':
      return ', which a workload never has: a user must do it, or the rule in stepUp must leave this request out';
    case 'unprovable':
      return ', and your provider does not say any more when you signed in: ask your platform team';
  }
}
