/**
 * Cookies on a console's host: two of ours, and all that the console sets itself.
 *
 * The pages and responses of the console share the host with our cookies. A malicious console could set, widen or
 * read one of ours, so its responses may not, and it never receives one.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isToken } from '../../core/http/header-names.ts';

/**
 * Matched without case and with every prefix: `__Host-portcullis-console` is ours, and so is everything that looks
 * like it.
 */
const OURS = /^(?:__(?:host|secure|http|host-http)-)?portcullis/i;

export interface HostCookie {
  readonly name: string;
  /** Returns the value, where there is exactly one cookie of this name; the caller checks its form. */
  read(req: IncomingMessage): string | undefined;
  set(res: ServerResponse, value: string, ttlSeconds: number): void;
  clear(res: ServerResponse): void;
}

const pairsOf = (header: string): (readonly [name: string, value: string, pair: string])[] =>
  header.split(';').map((part) => {
    const pair = part.trim();
    const equals = pair.indexOf('=');
    return equals === -1 ? ['', pair, pair] : [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim(), pair];
  });

/** @param publicUrl decides prefix and `Secure`, as for the cookies of the main host */
export function hostCookie(publicUrl: string, bareName: string): HostCookie {
  const secure = publicUrl.startsWith('https:');
  const name = secure ? `__Host-${bareName}` : bareName;
  const attributes = `; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
  const write = (res: ServerResponse, value: string, ttlSeconds: number): void =>
    void res.appendHeader('Set-Cookie', `${name}=${value}; Max-Age=${ttlSeconds}${attributes}`);
  return {
    name,
    read(req) {
      const [only, ...others] = pairsOf(req.headers.cookie ?? '').filter(([candidate]) => candidate === name);
      return others.length === 0 ? only?.[1] : undefined;
    },
    set: write,
    clear: (res) => write(res, '', 0),
  };
}

/**
 * Returns the `Cookie` header for the console: without our cookies, and without those that have no name (RFC
 * 6265bis §5.4 writes such a cookie as its value alone, which a reader may take for any name).
 *
 * @returns undefined where none is left
 */
export function cookiesForConsole(header: string | undefined): string | undefined {
  const kept = pairsOf(header ?? '').filter(([name]) => isToken(name) && !OURS.test(name));
  return kept.length === 0 ? undefined : kept.map(([, , pair]) => pair).join('; ');
}

/**
 * Returns one `Set-Cookie` of the console as the browser gets it: for this host alone, without its `Domain`.
 *
 * @returns undefined where it may not be set at all
 */
export function cookieFromConsole(line: string): string | undefined {
  const [pair = '', ...attributes] = line.split(';');
  const equals = pair.indexOf('=');
  const name = pair.slice(0, Math.max(equals, 0)).trim();
  if (!isToken(name) || OURS.test(name)) return undefined;
  const kept = attributes.filter((attribute) => attribute.split('=', 1)[0]?.trim().toLowerCase() !== 'domain');
  return [pair.trim(), ...kept.map((attribute) => attribute.trim())].join('; ');
}
