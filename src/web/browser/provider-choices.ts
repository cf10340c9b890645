/**
 * The identity providers in the order in which a page offers them: the one that this browser used last comes
 * first. The cookie for it holds the name of the provider and decides nothing but the order.
 */
import type { IncomingMessage } from 'node:http';
import type { Response } from 'express';
import { browserCookie, type BrowserCookie } from './cookies.ts';
import type { WebConfig, WebDeps } from '../dependencies.ts';

export interface ProviderChoice {
  readonly name: string;
  readonly type: WebConfig['providers'][number]['type'];
  /** This browser used it for its last sign-in. */
  readonly last: boolean;
}

type Deps = Pick<WebDeps, 'config' | 'providers'>;

const YEAR_SECONDS = 365 * 86_400;
/** The same pattern as in the configuration. */
const NAME = /^[a-z0-9-]{1,63}$/;

const cookieOf = ({ config }: Deps): BrowserCookie => browserCookie(config.publicUrl, 'portcullis-provider', NAME);

/** Returns all configured providers, the one that was used last first. */
export function providerChoices(deps: Deps, req: IncomingMessage): readonly ProviderChoice[] {
  const last = cookieOf(deps).read(req);
  const types = new Map(deps.config.providers.map(({ name, type }) => [name, type]));
  return [...deps.providers.keys()]
    .map((name) => ({ name, type: types.get(name) ?? 'oidc', last: name === last }))
    .toSorted((left, right) => Number(right.last) - Number(left.last));
}

/** Returns the name of the only provider; undefined where there are more. */
export function onlyProvider({ providers }: Deps): string | undefined {
  const names = [...providers.keys()];
  return names.length === 1 ? names[0] : undefined;
}

/** Remembers the provider of a completed sign-in in this browser. */
export function rememberProvider(deps: Deps, res: Response, name: string): void {
  if (deps.providers.has(name)) cookieOf(deps).set(res, name, YEAR_SECONDS);
}
