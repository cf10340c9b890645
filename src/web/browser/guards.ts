/**
 * The checks before each page: the user is signed in, and a request that changes something comes from our own page
 * (CSRF token and `Origin`).
 */
import { createHmac } from 'node:crypto';
import express, { type Request, type RequestHandler, type Response } from 'express';
import type { Account } from '../../core/identity/identity.ts';
import { AppError } from '../../core/errors.ts';
import { createTally } from '../../core/rate-limit.ts';
import { record } from '../../http/audit-events.ts';
import type { WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { takeCall, type CallLimits } from '../../http/call-limits.ts';
import { RETRY_SECONDS, type SerialQueue } from '../../core/serial-queue.ts';
import { seeOther } from '../page/response.ts';
import { sendTooMany } from '../page/error-page.ts';
import { keepForm } from '../page/kept-form.ts';
import { sameSecret, type BrowserSessions, type SignedIn } from './browser-session.ts';
import { browserCookie, newCookieValue } from './cookies.ts';
import type { ReturnTarget } from '../sign-in/login-transaction.ts';
import { contextOf, noteActor } from '../../http/request-context.ts';

export type PageHandler = (req: Request, res: Response, user: SignedIn) => Promise<void> | void;

export interface Guards {
  /**
   * For GET. A user who is signed out is sent to the sign-in page, and returns to `to` afterwards.
   * @param options `behind`: what of the same account it waits for. Default: `pages`, and their reads through the admin API
   */
  readonly page: (
    to: ReturnTarget | ((req: Request) => ReturnTarget),
    handler: PageHandler,
    options?: Behind,
  ) => RequestHandler;
  /**
   * For POST of a form. `req.body` is the parsed form.
   * @param options `behind`: what of the same account it waits for. Default: `nothing`, so that no revocation waits
   */
  readonly action: (handler: PageHandler, options?: Behind) => RequestHandler;
}

interface Behind {
  /**
   * Of each one is handled at a time for an account. `searches`: of audit logs, which take seconds, and no revocation may
   * wait behind one. `nothing`: what has limits of its own.
   */
  readonly behind: 'pages' | 'searches' | 'forms' | 'nothing';
}

const FORM_BYTES = '16kb';

/**
 * Another site makes the browser send its cookie. Browsers put `Origin` on every POST, so one that is missing,
 * `null` or foreign is rejected, whatever the token is.
 *
 * @throws AppError `forbidden`
 */
export function assertOwnOrigin(req: Request, publicUrl: string): void {
  if (req.headers.origin !== new URL(publicUrl).origin) {
    const message = 'This change did not come from a page of ours. Open the page again and repeat it there.';
    throw new AppError('forbidden', message, { reason: 'foreign_origin' });
  }
}

/** @throws AppError `forbidden` */
export function assertCsrf(user: SignedIn, token: unknown): void {
  if (typeof token !== 'string' || !sameSecret(token, user.csrf)) {
    const message = 'The page was from an earlier sign-in. Reload it and repeat the change.';
    throw new AppError('forbidden', message, { reason: 'csrf_token' });
  }
}

const formParser = express.urlencoded({ extended: false, limit: FORM_BYTES, parameterLimit: 32 });

/** Parses the form. Rejects with the error of body-parser when the form is too large or unreadable. */
export function readForm(req: Request, res: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    formParser(req, res, (error?: unknown) => {
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the form could not be read'));
    });
  });
}

/** Returns a text field that the form has once; empty when absent. */
export function field(req: Request, name: string): string {
  const body: unknown = req.body;
  if (typeof body !== 'object' || body === null) return '';
  const value: unknown = Object.getOwnPropertyDescriptor(body, name)?.value;
  return typeof value === 'string' ? value.trim() : '';
}

/** How long a form may lie in a tab until its user has signed in again. */
const TICKET_SECONDS = 3600;

/**
 * What makes a form good that was sent before its user signed in again: the CSRF token of a session ends with it. A ticket
 * is of one account, one browser and one kind of form, for an hour, and only a server can make one. A colleague at the same
 * browser knows its cookie, and would leave a form there for the next user to send under their name.
 */
function formTickets({ config, cookieKeys, clock }: Pick<WebDeps, 'config' | 'cookieKeys' | 'clock'>) {
  const cookie = browserCookie(config.publicUrl, 'portcullis-again');
  const ticketsOf = (value: string, account: Account, path: string, expires: string): readonly string[] =>
    cookieKeys().map((key) => {
      const parts = ['again', value, account, path, expires].join('\0');
      return `${expires}.${createHmac('sha256', key).update(parts).digest('base64url')}`;
    });
  return {
    /** Returns what gives the browser its cookie, and the form its ticket, once it is shown. */
    begin: (req: Request, res: Response, account: Account) => (): string => {
      const value = cookie.read(req) ?? newCookieValue();
      cookie.set(res, value, TICKET_SECONDS);
      const [ticket = ''] = ticketsOf(value, account, req.path, String(nowSeconds({ clock }) + TICKET_SECONDS));
      return ticket;
    },
    isGood(req: Request, { account }: SignedIn): boolean {
      const value = cookie.read(req);
      const given = field(req, 'ticket');
      const [expires = ''] = given.split('.', 1);
      if (value === undefined || !(Number(expires) > nowSeconds({ clock }))) return false;
      // One that was made before the key was changed is good still.
      return ticketsOf(value, account, req.path, expires).some((ticket) => sameSecret(given, ticket));
    },
  };
}

/** Keeps the form of a request that is rejected before it is known whose it is. One that cannot be read is lost. */
async function keepUnsent(req: Request, res: Response, proof: () => Parameters<typeof keepForm>[1]): Promise<void> {
  await readForm(req, res).then(
    () => keepForm(req, proof()),
    () => undefined,
  );
}

/** @param queue of pages, and of forms that are handled one at a time */
export function createGuards(
  browsers: BrowserSessions,
  deps: WebDeps,
  { limits, queue }: { readonly limits: CallLimits; readonly queue: SerialQueue },
): Guards {
  const { publicUrl, contact } = deps.config;
  const tally = createTally(deps.clock);
  const tickets = formTickets(deps);

  async function identify(req: Request): Promise<SignedIn | undefined> {
    const user = await browsers.current(req);
    if (user !== undefined) noteActor(req, user);
    return user;
  }

  /**
   * An attacker's script with one stolen cookie asks for page after page, each of which makes the store list
   * sessions, so an account has a limit.
   *
   * @returns true where the request is rejected and the response is sent
   */
  const isTooMany = (req: Request, res: Response, { account }: SignedIn): boolean =>
    rejects(req, res, { account, retrySeconds: takeCall(limits, req, account) });

  function rejects(
    req: Request,
    res: Response,
    { account, retrySeconds }: { readonly account: Account; readonly retrySeconds: number },
  ): boolean {
    if (retrySeconds <= 0) return false;
    auditTooMany(req, account);
    sendTooMany(res, contextOf(req), { of: 'pages', retrySeconds, contact });
    return true;
  }

  /** The script asks for sixty at once, all within that limit: the store's other calls would time out behind them. */
  async function inItsTurn(
    { req, res, user, behind }: Behind & { readonly req: Request; readonly res: Response; readonly user: SignedIn },
    work: () => Promise<void>,
  ): Promise<void> {
    if (behind === 'nothing') return work();
    const { account } = user;
    const outcome = await queue.run(behind === 'pages' ? account : `${behind} of ${account}`, work);
    if (!outcome.ok) rejects(req, res, { account, retrySeconds: RETRY_SECONDS });
  }

  /** The same script could fill the audit log, so there is one event a minute for each account, with their number. */
  function auditTooMany(req: Request, account: Account): void {
    const count = tally.add(account);
    if (count === undefined) return;
    const details = { count: String(count) };
    const rejection = { path: req.path, code: 429, reason: 'too_many_requests', details };
    record(deps, contextOf(req), { event: 'admin-refused', ...rejection });
  }

  return {
    page(to, handler, { behind } = { behind: 'pages' }) {
      return async (req, res) => {
        const user = await identify(req);
        if (user === undefined) return seeOther(res, `/login?to=${typeof to === 'function' ? to(req) : to}`);
        if (isTooMany(req, res, user)) return;
        await inItsTurn({ req, res, user, behind }, async () => handler(req, res, user));
      };
    },
    action(handler, { behind } = { behind: 'nothing' }) {
      return async (req, res) => {
        assertOwnOrigin(req, publicUrl);
        const user = await identify(req).catch(async (cause: unknown) => {
          // Who sent it is not known, so the form is given back as it came.
          await keepUnsent(req, res, () => ({ csrf: field(req, 'csrf') }));
          throw cause;
        });
        if (user === undefined) {
          const account = await browsers.pastAccount(req);
          // An unauthenticated client makes us parse no body.
          if (account !== undefined) await keepUnsent(req, res, () => ({ ticket: tickets.begin(req, res, account) }));
          throw new AppError('unauthenticated', 'You are signed out, so nothing was changed.', {
            reason: 'no_session',
          });
        }
        if (isTooMany(req, res, user)) return;
        await readForm(req, res);
        const ticket = tickets.begin(req, res, user.account);
        keepForm(req, { ticket });
        user.assertValid();
        if (!tickets.isGood(req, user)) {
          // It may be another user's.
          keepForm(req, {});
          assertCsrf(user, field(req, 'csrf'));
        }
        const proof = { csrf: user.csrf, ticket };
        await inItsTurn({ req, res, user, behind }, async () => {
          keepForm(req, proof, true);
          await handler(req, res, user);
        });
      };
    },
  };
}
