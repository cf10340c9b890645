/** What each page of access requests is given, and how it leads to a fresh sign-in. */
import type { Request, Response } from 'express';
import type { AccessCaller, AccessRequests } from '../../services/access/access.ts';
import { type RevocationResults, judgeFreshness } from '../../services/admin/admin.ts';
import { AppError } from '../../core/errors.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { ProblemError } from '../../http/problem.ts';
import { contextOf } from '../../http/request-context.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import type { FieldErrors } from '../page/field.ts';
import { html, type Html } from '../page/html.ts';
import type { Page } from '../page/layout.ts';
import { navigationFor } from '../page/navigation.ts';
import { proofNotice } from '../page/proof-notice.ts';
import { sendPage } from '../page/response.ts';

/** One request of a user for one of these pages. */
export interface AccessContext {
  readonly deps: WebDeps;
  readonly access: AccessRequests;
  readonly results: Pick<RevocationResults, 'find'>;
  readonly req: Request;
  readonly res: Response;
  readonly user: SignedIn;
}

export const callerAt = ({ req, user }: Pick<AccessContext, 'req' | 'user'>): AccessCaller => ({
  actor: user,
  context: contextOf(req),
  path: req.path,
});

export const requestId = ({ req }: Pick<AccessContext, 'req'>): string => String(req.params['id']);

/** Sends a page of these. The credential is checked again after everything was read, before a byte is sent. */
export function sendAccessPage(
  { deps, res, user }: Pick<AccessContext, 'deps' | 'res' | 'user'>,
  { status = 200, body, ...page }: Omit<Page, 'navigation'> & { readonly status?: number },
): void {
  user.assertValid();
  sendPage(res, status, {
    ...page,
    body: html`${proofNotice(deps, user)} ${body}`,
    navigation: navigationFor(deps, user, 'access'),
  });
}

/** The URL where a user whose sign-in is too old signs in again, and which leads back to `to`. */
export const freshHref = (to: string): string => `/login/fresh?${new URLSearchParams({ to }).toString()}`;

/** Whether the user may decide now: `stale` needs a fresh sign-in first; `unprovable` can have none. */
export type Freshness = 'fresh' | 'stale' | 'unprovable';

export function freshnessOf({ deps, user }: Pick<AccessContext, 'deps' | 'user'>): Freshness {
  const { freshness } = deps.config.access;
  if (freshness === 'off') return 'fresh';
  const judged = judgeFreshness(deps, user.proof, freshness);
  if (judged.ok) return 'fresh';
  return judged.reason.reason === 'freshness_unprovable' ? 'unprovable' : 'stale';
}

/** A rejection that the user can do something about on the page that they came from. */
export interface Rejected {
  readonly status: number;
  readonly message: string;
  /** True where a sign-in at the provider lets them do it. */
  readonly signIn: boolean;
  /** The field of the form that is wrong. */
  readonly errors?: FieldErrors;
}

/** Which field of the form a rejection is about. */
const FIELDS: Readonly<Record<string, string>> = {
  reason_needed: 'reason',
  reason_malformed: 'reason',
  seconds_malformed: 'seconds',
};

/**
 * Returns what a method of `AccessRequests` rejected, for the page that the form was on.
 * @throws what was thrown, where it is for the error page: not allowed, not found, the store is unavailable
 */
export function rejectedOf(thrown: unknown): Rejected {
  const { error, status } = appErrorOf(thrown);
  const { message, code } = error;
  // A session that is there, and is too old for this, or of a version that did not note by which names its user is known.
  const isOld =
    error instanceof ProblemError &&
    ((code === 'unauthenticated' && error.problem !== code) || error.problem === 'sign_in_again');
  if (isOld) return { status: error.status, message, signIn: true };
  const isShown = code === 'bad_request' || code === 'conflict' || code === 'provider_unavailable';
  if (!isShown || !(thrown instanceof AppError)) throw thrown;
  const name = FIELDS[error.reason];
  const errors = name === undefined ? {} : { errors: { [name]: message } };
  return { status: error instanceof ProblemError ? error.status : status, message, signIn: false, ...errors };
}

/** Returns the notice above a page whose form was rejected. */
export const rejectedNotice = ({ message, signIn }: Rejected, back: string): Html =>
  html`<div class="notice bad" role="alert">
    <p>${message}</p>
    ${signIn && html`<p><a class="button compact" href="${freshHref(back)}">Sign in again</a></p>`}
  </div>`;
