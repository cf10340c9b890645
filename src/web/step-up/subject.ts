/** What a step-up proves, and the page that asks for it. */
import type { PendingStepUp } from '../../services/step-up/step-up.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { FormCookie } from '../browser/form-cookie.ts';
import type { ProviderChoice } from '../browser/provider-choices.ts';
import type { WebDeps } from '../dependencies.ts';
import { locationOf } from '../device/nearby.ts';
import type { Html } from '../page/html.ts';
import { confirmPage, type ConfirmContent } from './step-up-page.ts';
import { defined } from '../../core/defined.ts';

/** What is proven: a step-up of a program, or the session of this browser. */
export type Subject = { readonly pending: PendingStepUp } | { readonly own: SignedIn };

/** The subject of a ticket: one of these pages is worth nothing for another. */
export const nameOf = (subject: Subject): string =>
  'own' in subject ? `session ${subject.own.session}` : subject.pending.id;

/** The session that is to be proven, and the only provider that can: no other one says anything of its account. */
export const sessionOf = (subject: Subject): { readonly session: string; readonly provider: string } =>
  'own' in subject
    ? { session: subject.own.session, provider: subject.own.record.provider }
    : { session: subject.pending.session, provider: subject.pending.provider };

/** @param given.value of the browser's cookie, for the ticket of the page */
export function confirmOf(
  { deps, cookie }: { readonly deps: WebDeps; readonly cookie: FormCookie },
  context: RequestContext,
  { subject, value, userCode }: { readonly subject: Subject; readonly value: string; readonly userCode?: string },
): Html {
  const ticket = encodeURIComponent(cookie.ticketOf(value, nameOf(subject)));
  const shared = defined({ userCode });
  const startAt = (path: string): string => `${path}/start?ticket=${ticket}&provider=`;
  if ('own' in subject) {
    const pending = ownFacts(subject.own);
    const provider = choiceOf(deps, subject.own.record.provider);
    return confirmPage({ ...shared, pending, provider, location: undefined, start: startAt('/step-up/me') });
  }
  const { pending } = subject;
  return confirmPage({
    ...shared,
    pending,
    provider: choiceOf(deps, pending.provider),
    location: locationOf(deps.config, context, pending.address),
    start: startAt(`/step-up/${encodeURIComponent(pending.id)}`),
    deny: { id: pending.id, csrf: cookie.csrfOf(value) },
  });
}

const ownFacts = ({ identity, session, record }: SignedIn): ConfirmContent['pending'] => ({
  username: identity.username,
  session,
  address: record.address,
  userAgent: record.userAgent,
  by: 'loopback',
});

function choiceOf({ config }: WebDeps, name: string): ProviderChoice {
  const type = config.providers.find((each) => each.name === name)?.type ?? 'oidc';
  return { name, type, last: true };
}
