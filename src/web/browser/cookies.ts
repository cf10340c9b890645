/**
 * The cookies of the web room, and reading one from a request.
 *
 * `__Host-` (RFC 6265bis §4.1.3.2) with https: no sibling host and no plain http can plant one. On loopback http, where browsers
 * refuse the prefix, the plain name is used.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { CookieOptions, Response } from 'express';

export interface BrowserCookie {
  readonly name: string;
  /** The value, if the request has exactly one of this name and it looks like one of ours. */
  read(req: IncomingMessage): string | undefined;
  set(res: Response, value: string, ttlSeconds: number): void;
  clear(res: Response): void;
}

/** 256 random bits. */
export const newCookieValue = (): string => randomBytes(32).toString('base64url');

/** As `newCookieValue` makes it. */
const randomValue = /^[A-Za-z0-9_-]{43}$/;

function valuesOf(header: string, name: string): string[] {
  const values: string[] = [];
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals !== -1 && pair.slice(0, equals).trim() === name) values.push(pair.slice(equals + 1).trim());
  }
  return values;
}

/**
 * @param publicUrl decides prefix and `Secure`
 * @param shape what a value of ours looks like
 */
export function browserCookie(publicUrl: string, bareName: string, shape = randomValue): BrowserCookie {
  const secure = publicUrl.startsWith('https:');
  const name = secure ? `__Host-${bareName}` : bareName;
  const options: CookieOptions = { httpOnly: true, sameSite: 'lax', path: '/', secure };
  return {
    name,
    read(req) {
      const [value, ...others] = valuesOf(req.headers.cookie ?? '', name);
      // Threat: a second cookie of the name was tossed in by somebody else; which one is ours cannot be told.
      return value !== undefined && others.length === 0 && shape.test(value) ? value : undefined;
    },
    set(res, value, ttlSeconds) {
      res.cookie(name, value, { ...options, maxAge: ttlSeconds * 1000 });
    },
    clear(res) {
      res.clearCookie(name, options);
    },
  };
}
