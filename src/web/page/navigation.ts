/** The bar at the top, for one signed-in person. */
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import type { Navigation } from './layout.ts';
import { roleOf } from '../../admin/roles.ts';

export function navigationFor(
  deps: Pick<WebDeps, 'config'>,
  person: SignedIn,
  current: Navigation['current'],
): Navigation {
  const mayAdmin = roleOf(person, deps.config) !== undefined;
  return { username: person.identity.username, csrf: person.csrf, mayAdmin, current };
}
