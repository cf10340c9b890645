/** The notice for an admin or approver who may be unable to prove a fresh sign-in when one is needed. */
import { unprovenWarning } from '../../core/identity/fresh-sign-in.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from './html.ts';

/** Returns nothing for everyone else. It is on each page where such a user lands after the sign-in. */
export function proofNotice({ config }: Pick<WebDeps, 'config'>, { record }: Pick<SignedIn, 'record'>): Html | false {
  const warning = unprovenWarning(record, config);
  if (warning === undefined) return false;
  return html`<div class="notice warn">
    <p role="status">${warning} <a href="/step-up/me">Find out now</a></p>
  </div>`;
}
