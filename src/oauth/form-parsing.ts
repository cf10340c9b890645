/** Makes the library parse queries and forms, which anyone may send, in a time that their length alone decides. */
import querystring from 'node:querystring';
import type { Provider } from 'oidc-provider';
import { unescapeForm } from '../core/request/form.ts';

/** To be called before the provider's first request. */
export function parseInOnePass({ request }: Pick<Provider, 'request'>): void {
  // An attacker sends names that are not UTF-8, each of which is an exception in Node's own decoder. Node's
  // documentation has this way to replace it for all who parse a form by `querystring`, as the library does.
  Object.assign(querystring, { unescape: unescapeForm });
  // An attacker sends one name six thousand times (`?a&a&a…`). Koa's own parser goes through all of them for each, which
  // takes half a second for a query of 12 kB.
  Object.defineProperty(request, 'query', {
    get(this: typeof request): querystring.ParsedUrlQuery {
      const value = querystring.parse(this.querystring);
      Object.defineProperty(this, 'query', { value });
      return value;
    },
  });
}
