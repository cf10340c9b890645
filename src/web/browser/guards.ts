/**
 * What stands before the pages: signed in or not, and, for everything that changes something, that the request comes from our own
 * page (CSRF token and our own Origin).
 */
import express, { type Request, type RequestHandler, type Response } from 'express';
import type { Config } from '../../config/config.ts';
import { AppError } from '../../core/errors.ts';
import { takeCall, type CallLimits } from '../../admin/api/call-limits.ts';
import { seeOther } from '../page/response.ts';
import { sendTooMany } from '../page/error-page.ts';
import { sameSecret, type BrowserSessions, type SignedIn } from './browser-session.ts';
import { contextOf } from '../../http/request-context.ts';

export type PageHandler = (req: Request, res: Response, user: SignedIn) => Promise<void> | void;

export interface Guards {
  /** For GET. Somebody signed out is sent to sign in and comes back to `to`. */
  readonly page: (to: 'me' | 'admin', handler: PageHandler) => RequestHandler;
  /** For POST of a form. `req.body` is the parsed form. */
  readonly action: (handler: PageHandler) => RequestHandler;
}

const FORM_BYTES = '16kb';

/**
 * Threat: another site makes the browser send its cookie. Browsers put `Origin` on every POST; one that is missing, `null` or
 * foreign is refused, whatever the token says.
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

/** Rejects with body-parser's own error when the form is too large or unreadable. */
export function readForm(req: Request, res: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    formParser(req, res, (error?: unknown) => {
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the form could not be read'));
    });
  });
}

/** A text field of a form, given once; empty when absent. */
export function field(req: Request, name: string): string {
  const body: unknown = req.body;
  if (typeof body !== 'object' || body === null) return '';
  const value: unknown = Object.getOwnPropertyDescriptor(body, name)?.value;
  return typeof value === 'string' ? value.trim() : '';
}

export function createGuards(
  browsers: BrowserSessions,
  { publicUrl, contact }: Pick<Config, 'publicUrl' | 'contact'>,
  limits: CallLimits,
): Guards {
  async function identify(req: Request): Promise<SignedIn | undefined> {
    const user = await browsers.current(req);
    if (user !== undefined) contextOf(req).actor = user;
    return user;
  }

  /** A script with one stolen cookie asks for page after page, each of which has the store list sessions. @returns true where it is answered */
  function isTooMany(req: Request, res: Response, { account }: SignedIn): boolean {
    const retrySeconds = takeCall(limits, req, account);
    if (retrySeconds > 0) sendTooMany(res, contextOf(req), { of: 'pages', retrySeconds, contact });
    return retrySeconds > 0;
  }

  return {
    page(to, handler) {
      return async (req, res) => {
        const user = await identify(req);
        if (user === undefined) return seeOther(res, `/login?to=${to}`);
        if (isTooMany(req, res, user)) return;
        await handler(req, res, user);
      };
    },
    action(handler) {
      return async (req, res) => {
        assertOwnOrigin(req, publicUrl);
        const user = await identify(req);
        if (user === undefined) {
          throw new AppError('unauthenticated', 'You are signed out, so nothing was changed.', {
            reason: 'no_session',
          });
        }
        if (isTooMany(req, res, user)) return;
        // Who it is comes before the body: nobody unknown makes us read one.
        await readForm(req, res);
        user.assertGood();
        assertCsrf(user, field(req, 'csrf'));
        await handler(req, res, user);
      };
    },
  };
}
