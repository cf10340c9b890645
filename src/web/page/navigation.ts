/** The main navigation of one signed-in user. */
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import type { Navigation } from './layout.ts';
import { roleOf } from '../../services/admin/admin.ts';

export function navigationFor(
  deps: Pick<WebDeps, 'config'>,
  user: SignedIn,
  current: Navigation['current'],
): Navigation {
  const mayAdmin = roleOf(user, deps.config) !== undefined;
  const mayAsk = deps.config.access.roles.length > 0;
  return { username: user.identity.username, csrf: user.csrf, mayAdmin, mayAsk, current };
}
