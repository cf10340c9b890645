/**
 * The cookies of the web module.
 *
 * `__Host-` (RFC 6265bis §4.1.3.2) with https: no sibling host and no plain http response can set one. On loopback
 * http, where browsers reject the prefix, the plain name is used.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { CookieOptions, Response } from 'express';

export interface BrowserCookie {
  readonly name: string;
  /** Returns the value, if the request has exactly one cookie of this name and its value has the expected shape. */
  read(req: IncomingMessage): string | undefined;
  set(res: Response, value: string, ttlSeconds: number): void;
  clear(res: Response): void;
}

/** 256 random bits. */
export const newCookieValue = (): string => randomBytes(32).toString('base64url');

/** The shape of `newCookieValue`. */
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
 * @param shape of a valid value
 */
export function browserCookie(publicUrl: string, bareName: string, shape = randomValue): BrowserCookie {
  const secure = publicUrl.startsWith('https:');
  const name = secure ? `__Host-${bareName}` : bareName;
  const options: CookieOptions = { httpOnly: true, sameSite: 'lax', path: '/', secure };
  return {
    name,
    read(req) {
      const [value, ...others] = valuesOf(req.headers.cookie ?? '', name);
      // An attacker adds a second cookie of the same name from a sibling host. Nothing shows which one is ours, so
      // neither is read.
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
