/**
 * The cookie of a browser whose user need not have signed in, for forms and for links that begin a sign-in.
 *
 * An attacker's page makes this browser send a form, or leads it past the page that asks its user. So a form carries a token of
 * this cookie, and a link that begins something a ticket, which only a page of ours in this browser can have.
 */
import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { LOGIN_SECONDS } from '../sign-in/login-transaction.ts';
import { sameSecret } from './browser-session.ts';
import { browserCookie, newCookieValue } from './cookies.ts';
import { field } from './guards.ts';

export interface FormCookie {
  /** Returns the browser's value, if it has one. */
  read(req: Request): string | undefined;
  /** Returns the browser's value, or gives it one; it lives as long as a sign-in may take. */
  begin(req: Request, res: Response): string;
  /** Prolongs it, before the browser is sent away. */
  keep(res: Response, value: string): void;
  /** The hash of the value that is kept in the store. */
  browserOf(value: string): string;
  /** The token of a form. */
  csrfOf(value: string): string;
  /** The ticket of a link about this subject. */
  ticketOf(value: string, subject: string): string;
  /** @returns the value @throws AppError `sign_in_expired` where the form is none of this browser */
  assertOwnForm(req: Request): string;
  /** @returns the value @throws AppError `sign_in_expired` where the link is none of this browser */
  assertOwnLink(req: Request, subject: string, ticket: string | undefined): string;
}

/** @param name of the cookie, and of what its hashes are for */
export function formCookie(publicUrl: string, name: string): FormCookie {
  const cookie = browserCookie(publicUrl, `portcullis-${name}`);
  const hashOf = (purpose: string, value: string): string =>
    createHash('sha256').update(`${name}-${purpose}\0${value}`).digest('base64url');
  const csrfOf = (value: string): string => hashOf('csrf', value);
  const ticketOf = (value: string, subject: string): string => hashOf('ticket', `${value}\0${subject}`);
  return {
    read: (req) => cookie.read(req),
    begin(req, res) {
      const value = cookie.read(req) ?? newCookieValue();
      cookie.set(res, value, LOGIN_SECONDS);
      return value;
    },
    keep: (res, value) => cookie.set(res, value, LOGIN_SECONDS),
    browserOf: (value) => hashOf('browser', value),
    csrfOf,
    ticketOf,
    assertOwnForm(req) {
      const value = cookie.read(req);
      if (value === undefined || !sameSecret(field(req, 'csrf'), csrfOf(value))) throw otherBrowser();
      return value;
    },
    assertOwnLink(req, subject, ticket = '') {
      const value = cookie.read(req);
      if (value === undefined || !sameSecret(ticket, ticketOf(value, subject))) throw otherBrowser();
      return value;
    },
  };
}

export const otherBrowser = (): AppError =>
  new AppError('sign_in_expired', 'This page has expired, or was opened in another browser. Start again.', {
    reason: 'other_browser',
  });
