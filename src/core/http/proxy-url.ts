/** The address of a proxy, and the variables that name it, as they are written. */
import { no, ok, type Result } from '../result.ts';

export interface ProxyVariables {
  /** `HTTPS_PROXY`; may hold a password. Plain http goes to loopback only, so no other proxy is needed. */
  readonly httpsProxy?: string;
  /** `NO_PROXY`. */
  readonly noProxy: string;
}

/** Reads the variables that Go's programs read. Upper case takes precedence, as in Go; an empty one is none. */
export function proxyVariables(env: Readonly<Record<string, string | undefined>>): ProxyVariables {
  const httpsProxy = env['HTTPS_PROXY'] || env['https_proxy'] || undefined;
  return {
    ...(httpsProxy === undefined ? {} : { httpsProxy }),
    noProxy: env['NO_PROXY'] || env['no_proxy'] || '',
  };
}

/**
 * Parses the address of a proxy; `http://` may be left out.
 * @returns the address, or what is wrong with it, without the text: it may hold a password
 */
export function parseProxyUrl(text: string): Result<URL, string> {
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(address)) return no('is not an address');
  const url = new URL(address);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return no('has a protocol that is not supported');
  // Of `user:p@ss/word@proxy` a URL makes the host `ss`, which would get the name and the rest of the password.
  if (/@/.test(`${url.pathname}${url.search}${url.hash}`))
    return no('has a "/", "?" or "#" in the password: escape it');
  return ok(url);
}

/** Returns `NAME:PASSWORD`; undefined where the address has neither. */
export function proxyCredentials({ username, password }: URL): string | undefined {
  return username === '' && password === '' ? undefined : `${decoded(username)}:${decoded(password)}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // An unescaped %.
  }
}
