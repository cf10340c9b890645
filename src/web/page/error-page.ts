/** The page for an error: what happened, what to do next, and the request id for the platform team. */
import type { AuthorizationError } from '../../contracts/authorization.ts';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import type { Response } from 'express';
import { UnprovenSignIn } from '../../idp/auth-time.ts';
import { sendPage } from './response.ts';
import { appErrorOf, retryAfterSeconds } from '../../http/error-status.ts';
import { facts } from './card.ts';
import { html, type Html } from './html.ts';
import { KEPT, keptCard } from './kept-form.ts';
import { renderPage } from './layout.ts';
import type { RequestContext } from '../../http/request-context.ts';

interface ErrorMessage {
  readonly title: string;
  readonly next: string;
}

/** One row for each code; a new code does not compile without one. */
export const errorMessages: Readonly<Record<ErrorCode, ErrorMessage>> = {
  bad_request: { title: 'Invalid request', next: 'Go back and try again.' },
  not_found: { title: 'Not found', next: 'Check the address, or start at the front page.' },
  unauthenticated: { title: 'You are signed out', next: 'Sign in and try again.' },
  forbidden: { title: 'Not allowed', next: 'If you need access, ask your platform team and give them the request id.' },
  conflict: { title: 'Conflict', next: 'Reload the page and try again.' },
  sign_in_refused: {
    title: 'Sign-in rejected',
    next: 'Use another account, or ask your platform team and give them the request id.',
  },
  sign_in_expired: { title: 'This sign-in is no longer valid', next: 'Start the sign-in again.' },
  provider_unavailable: {
    title: 'The identity provider is not responding correctly',
    next: 'Try again in a minute. If this continues, tell your platform team.',
  },
  store_unavailable: { title: 'Portcullis cannot reach its store', next: 'Try again in a moment.' },
  fenced: { title: 'This replica is not ready', next: 'Try again in a moment.' },
  audit_unavailable: {
    title: 'The audit log cannot be written',
    next: 'No request is served until then. Tell your platform team.',
  },
  upstream_unavailable: { title: 'The cluster cannot be reached', next: 'Try again in a minute.' },
  upstream_timeout: { title: 'The cluster did not respond in time', next: 'Try again in a minute.' },
  internal: { title: 'Something went wrong', next: 'Try again; if this continues, tell your platform team.' },
};

/** What only the platform team can fix is no outage: a user who waits for it waits in vain. */
const NEEDS_OPERATOR: ErrorMessage = {
  title: 'This sign-in is not set up correctly',
  next: 'Only your platform team can fix this. Give them the request id.',
};

export const errorMessageOf = ({ code, needsOperator }: Pick<AppError, 'code' | 'needsOperator'>): ErrorMessage =>
  needsOperator ? NEEDS_OPERATOR : errorMessages[code];

interface Link {
  readonly href: string;
  readonly text: string;
}

/** The page's own address: an attacker who sends a link to `//evil.example` gets none to there. */
const AGAIN: Link = { href: '', text: 'Try again' };

/**
 * Returns the links of the page. A pending authorization can be tried again, or handed back to the program that
 * waits for it; so can a request that is only late, such as the first one of a sign-in.
 *
 * @param isLate the same request, made once more, may succeed
 */
function nextLinks(
  { code, needsOperator }: Pick<AppError, 'code' | 'needsOperator'>,
  context: RequestContext,
  isLate = false,
): readonly Link[] {
  const uid = context.authorization;
  if (uid === undefined) {
    const way = code === 'unauthenticated' ? { href: '/login', text: 'Sign in' } : { href: '/', text: 'Front page' };
    return isLate ? [AGAIN, way] : [way];
  }
  const giveUp = code === 'sign_in_refused' || needsOperator ? 'access_denied' : 'temporarily_unavailable';
  return [
    { href: `/login/${uid}/choose`, text: needsOperator ? 'Sign in in another way' : 'Try again' },
    { href: `/login/${uid}/refuse?error=${giveUp}`, text: 'Cancel the sign-in' },
  ];
}

/** The sign-in that leads to the pages that a form is of. */
const signInFor = (path: string): string => `/login?to=${path.startsWith('/admin') ? 'admin' : 'access'}`;

interface ErrorContent {
  readonly title: string;
  /** What happened; the message of the rule where a rule rejected the user. */
  readonly message: string;
  readonly next: string;
  /** `contact` of the configuration. */
  readonly contact: string;
  readonly requestId: string;
  readonly links: readonly Link[];
}

function errorCard({ title, message, next, contact, requestId, links }: ErrorContent): Html {
  return html`<div class="card">
    <h1>${title}</h1>
    <div class="notice bad"><p role="alert">${message}</p></div>
    <p>${next}</p>
    ${facts(
      [
        ['Contact', contact],
        ['Request id', html`<code>${requestId}</code>`],
      ],
      ' small',
    )}
    ${
      links.length > 0 &&
      html`<div class="row">
        ${links.map((link, index) => html`<a class="button ${index > 0 && 'quiet'}" href="${link.href}">${link.text}</a>`)}
      </div>`
    }
  </div>`;
}

/**
 * Maps anything thrown to an HTML page; no other function does. The exact reason is only in the log and the audit
 * log.
 *
 * @param contact of the configuration
 */
export function sendErrorPage(res: Response, context: RequestContext, thrown: unknown, contact: string): void {
  const { error, status } = appErrorOf(thrown);
  const { title, next: usual } = errorMessageOf(error);
  // The message has the ways; another account is none of them.
  const next = error instanceof UnprovenSignIn ? 'Ask your platform team, and give them the request id.' : usual;
  const wait = retryAfterSeconds(error.code);
  if (wait !== undefined) res.setHeader('Retry-After', String(wait));
  const { requestId } = context;
  // A form is not sent by a link.
  const signIn = error.code === 'unauthenticated' ? signInFor(res.req.path) : undefined;
  const kept = keptCard(res.req, { error, status, signIn });
  const links = kept === undefined ? nextLinks(error, context, wait !== undefined && res.req.method === 'GET') : [];
  const content = { title, message: error.message, contact, requestId, links };
  const body = html`${errorCard({ ...content, next: kept === undefined ? next : KEPT })} ${kept}`;
  sendPage(res, status, { title, narrow: true, body });
}

/**
 * Renders the page for an error of the authorization server, whose library would otherwise send a page of its own.
 *
 * @param contact of the configuration
 */
export function errorDocument({ cause, requestId, again }: AuthorizationError, contact: string): string {
  const error = 'thrown' in cause ? appErrorOf(cause.thrown).error : new AppError('sign_in_expired', cause.detail);
  const { message } = error;
  const { title, next } = errorMessageOf(error);
  const frontPage = { href: '/', text: 'Front page' };
  const links = again === undefined ? [frontPage] : [{ href: again, text: 'Try again' }, frontPage];
  const body = errorCard({ title, message, next, contact, requestId, links });
  return renderPage({ title, narrow: true, body });
}

const TOO_MANY = {
  'sign-ins': { title: 'Too many sign-ins', message: 'Too many sign-ins were started from your address.' },
  requests: { title: 'Too many requests', message: 'Too many requests from your address are open.' },
  pages: { title: 'Too many requests', message: 'You, or a program with your sign-in, requested too many pages.' },
} as const;

/**
 * Sends 429 (RFC 6585 §4): too many sign-ins from one address, or too many pages for one account. No other
 * listener counts these.
 */
export function sendTooMany(
  res: Response,
  context: RequestContext,
  given: { readonly of: keyof typeof TOO_MANY; readonly retrySeconds: number; readonly contact: string },
): void {
  const { of, retrySeconds, contact } = given;
  res.setHeader('Retry-After', String(retrySeconds));
  const { title, message } = TOO_MANY[of];
  const next = `Try again in ${retrySeconds} seconds.`;
  const links = nextLinks({ code: 'conflict', needsOperator: false }, context);
  const body = errorCard({ title, message, next, contact, requestId: context.requestId, links });
  sendPage(res, 429, { title, narrow: true, body });
}
