/**
 * Sending pages and redirects.
 */
import type { Response } from 'express';
import { renderPage, scriptsOf, type Page } from './layout.ts';
import { allowOwnScripts } from './security-headers.ts';

export function sendPage(res: Response, status: number, page: Page): void {
  if (scriptsOf(page).length > 0) allowOwnScripts(res);
  res.status(status).type('html').send(renderPage(page));
}

/**
 * 303. The body stays empty: Express' own would repeat a query that carries a code.
 * Threat: open redirects. Only a path of ours, or a provider's URL as the idp room built it, is ever handed in.
 */
export function seeOther(res: Response, location: string): void {
  res.status(303).location(location).end();
}

/** The query of a request target as it came, with its `?`; empty when there is none. The Host header takes no part. */
export function queryOf(target: string): string {
  const start = target.indexOf('?');
  return start === -1 ? '' : target.slice(start);
}

/** A query parameter given exactly once as text; anything else is undefined. */
export function parameter(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
