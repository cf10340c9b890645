/** Sends pages and redirects. */
import type { Response } from 'express';
import { cutWhenRevoked } from '../../http/revocable-response.ts';
import { renderPage, scriptsOf, type Page } from './layout.ts';
import { allowOwnScripts } from './security-headers.ts';

export function sendPage(res: Response, status: number, page: Page): void {
  if (scriptsOf(page).length > 0) allowOwnScripts(res);
  cutWhenRevoked(res);
  res.status(status).type('html').send(renderPage(page));
}

/**
 * Redirects with 303. The body stays empty, because the one of Express would repeat a query that carries a code.
 *
 * An attacker could use an open redirect, so callers pass only a path of ours, or a provider's URL that the `idp`
 * module built.
 */
export function seeOther(res: Response, location: string): void {
  res.status(303).location(location).end();
}

/**
 * Returns the query of a request target unchanged, with its `?`; empty when there is none. It does not depend on
 * the Host header.
 */
export function queryOf(target: string): string {
  const start = target.indexOf('?');
  return start === -1 ? '' : target.slice(start);
}

/** Returns a query parameter that is given exactly once; otherwise undefined. */
export function parameter(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
