/**
 * Checks the response of the authorization endpoint before a user signs in: the very URL that a browser would be
 * sent to, requested by us, without a cookie. No user is signed in by it, and what it begins at the provider
 * expires there.
 *
 * A provider must not send a browser to an address that it does not know (RFC 6749 §4.1.2.1), so it shows an error
 * page for that. Some check the address only after the sign-in, so the same request with an address that no client
 * can have registered is made as well: only where that one is rejected does a rejection of ours mean anything.
 */
import { ON_THE_SERVER } from '../../core/identity/fresh-sign-in.ts';
import type { FreshSignInMethod } from '../types.ts';
import type { IdentityProvider, SignInChallenge } from '../types.ts';
import type { Outbound } from '../outbound.ts';
import { needed, optional, short, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

/** RFC 2606 §2: no host can have that name. */
const REGISTERED_NOWHERE = 'https://portcullis-probe.invalid/callback';

type Reaction =
  /** On to a page: of the sign-in, or with an error. */
  | { readonly kind: 'page'; readonly seen: string }
  /** `blocked`: by a status that says nothing of the parameters of a request. */
  | { readonly kind: 'refused'; readonly seen: string; readonly blocked?: boolean }
  /** Back to our own callback, which is therefore registered, with an error code. */
  | { readonly kind: 'returned'; readonly error: string }
  | { readonly kind: 'none'; readonly seen: string };

interface RequestContext {
  readonly outbound: Outbound;
  readonly redirectUri: string;
  readonly redacted: (text: string) => string;
}

export async function authorizationRows(
  provider: IdentityProvider,
  url: URL,
  { advertised, ...context }: RequestContext & { /** `auth_time` is among its claims. */ readonly advertised: boolean },
): Promise<readonly ProbeRow[]> {
  const elsewhere = new URL(url);
  elsewhere.searchParams.set('redirect_uri', REGISTERED_NOWHERE);
  const [ours, unregistered, attempts] = await Promise.all([
    reaction(url, context),
    reaction(elsewhere, context),
    freshSignInAttempts(provider, context),
  ]);
  return [redirectRow(ours, unregistered, context.redirectUri), freshRow(ours, attempts, advertised)];
}

interface FreshSignInAttempt {
  readonly method: FreshSignInMethod;
  readonly reaction: Reaction;
}

/** Asks for a fresh sign-in by the methods that a sign-in would use, up to the first that is not rejected. */
async function freshSignInAttempts(
  provider: IdentityProvider,
  context: RequestContext,
): Promise<readonly FreshSignInAttempt[]> {
  const attempts: FreshSignInAttempt[] = [];
  let after: SignInChallenge | undefined;
  while (provider.provesFreshness) {
    const started = await provider.begin({ fresh: true, after }).catch(() => undefined);
    const method = started?.challenge.asked?.at(-1);
    if (started === undefined || method === undefined) break;
    const attempt = { method, reaction: await reaction(started.url, context) };
    attempts.push(attempt);
    if (rejectionOf(attempt) === undefined) break;
    after = started.challenge;
  }
  return attempts;
}

/** @returns the rejection of a method; undefined where it was accepted, or it is unknown */
function rejectionOf({ reaction: { kind, ...rest } }: FreshSignInAttempt): string | undefined {
  if (kind === 'refused') return 'an error page';
  const error = 'error' in rest ? rest.error : '';
  return kind === 'returned' && !USER_REQUIRED.has(error) ? error : undefined;
}

async function reaction(url: URL, { outbound, redirectUri, redacted }: RequestContext): Promise<Reaction> {
  let response: Response;
  try {
    response = await outbound(url.href, { method: 'GET', headers: { accept: 'text/html' } });
  } catch (error) {
    return { kind: 'none', seen: connectionMessage(error) };
  }
  const { status } = response;
  if (status === 429 || status >= 500) return { kind: 'none', seen: `it answered ${status}` };
  // A page of the sign-in as well, for browsers that have a ticket (RFC 4559).
  if (status === 401 && response.headers.has('www-authenticate'))
    return { kind: 'page', seen: 'it answered 401 with a challenge' };
  if (status >= 400)
    return { kind: 'refused', seen: `it answered ${status}`, blocked: status === 401 || status === 403 };
  if (status < 300) return { kind: 'page', seen: `it answered ${status} with a page` };
  const target = URL.parse(response.headers.get('location') ?? '', url.href);
  if (target === null) return { kind: 'none', seen: `it answered ${status} and leads nowhere` };
  if (target.href.startsWith(`${redirectUri}?`)) {
    return { kind: 'returned', error: short(redacted(target.searchParams.get('error') ?? ''), 64) };
  }
  // Not all of it: the query repeats the request, and the path may name the new login transaction.
  const origin = short(redacted(target.origin), 100);
  // Google responds with 302 here as well, and leads to a page of that name.
  const isError = target.pathname.split('/').includes('error');
  return { kind: isError ? 'refused' : 'page', seen: `it leads to a page of ${origin}` };
}

/** Codes with which a provider says that it would have to ask the user. */
const USER_REQUIRED = new Set([
  '',
  'login_required',
  'interaction_required',
  'consent_required',
  'account_selection_required',
]);

function redirectRow(ours: Reaction, unregistered: Reaction, redirectUri: string): ProbeRow {
  const check = 'redirect URI';
  switch (ours.kind) {
    case 'none':
      return needed.unknown(check, ours.seen, 'Ask again later; a sign-in needs the authorization endpoint.');
    case 'refused':
      if (ours.blocked === true && unregistered.kind === 'refused' && unregistered.seen === ours.seen) {
        return needed.unknown(
          check,
          `${ours.seen}, as for an address that is not registered`,
          `Make sure that ${redirectUri} is registered there, exactly so, that clientId is right, and that nothing in between rejects requests.`,
        );
      }
      return needed.fails(
        check,
        `the authorization request was rejected: ${ours.seen}`,
        `Register ${redirectUri} at the provider, exactly so, and check clientId.`,
      );
    case 'returned':
      if (USER_REQUIRED.has(ours.error)) return needed.works(check, 'it leads back to our callback: registered');
      return needed.fails(
        check,
        `registered, but the authorization request was rejected: ${ours.error}`,
        ours.error === 'invalid_scope'
          ? 'Set scopes to those that the client may ask for.'
          : 'See what the provider’s log says of this request: the client may lack the authorization code flow.',
      );
    case 'page':
      return unregistered.kind === 'refused'
        ? needed.works(check, `looks registered: ${ours.seen}, and one that is not was refused`)
        : needed.unknown(
            check,
            `${ours.seen}, as for an address that is not registered`,
            `Make sure that ${redirectUri} is registered there, exactly so.`,
          );
  }
}

/** The row of a provider that is not asked for a proof. */
export const UNPROVEN = optional.fails(
  'fresh sign-in',
  'this provider proves none: no auth_time is asked for',
  'After a revocation lock the account to keep its user out. Its groups cannot be in admin.groups while admin.freshness is on.',
);

export const METHOD_TEXT: Record<FreshSignInMethod, string> = {
  login_and_max_age: 'prompt=login with max_age',
  login: 'prompt=login alone',
  max_age: 'max_age alone',
};

/** `freshness: none` is an error at the start wherever someone would need a proof of such a provider. */
const WITHOUT_PROOF = `Where it cannot be had: ${ON_THE_SERVER} work on the server’s own shell; freshness: none is for a provider without admins and approvers, and where there is no stepUp.`;

/**
 * @param ours the reaction to an ordinary sign-in: where that is rejected too, the rejections say nothing of a
 *   fresh one
 */
function freshRow(ours: Reaction, attempts: readonly FreshSignInAttempt[], advertised: boolean): ProbeRow {
  const check = 'fresh sign-in';
  const last = attempts.at(-1);
  if (last === undefined) {
    return UNPROVEN;
  }
  if (ours.kind !== 'page' || last.reaction.kind === 'none') {
    return optional.unknown(check, 'the request could not be tried');
  }
  const refused = attempts.flatMap((attempt) => {
    const rejection = rejectionOf(attempt);
    return rejection === undefined ? [] : [`${METHOD_TEXT[attempt.method]} was refused (${rejection})`];
  });
  if (refused.length === attempts.length) {
    return optional.fails(
      check,
      refused.join('; '),
      `Without it no user can sign in again after a revocation, and admins who have to prove it cannot change anything. Have the provider take prompt=login or max_age. ${WITHOUT_PROOF}`,
    );
  }
  const taken = [...refused, `${METHOD_TEXT[last.method]} is taken`].join('; ');
  // A user at an error page does not come back, so there is no second method for them.
  if (attempts.some(({ reaction: { kind } }) => kind === 'refused')) {
    return optional.fails(
      check,
      taken,
      `Set freshness: ${last.method}, because no user comes back from an error page.`,
    );
  }
  if (advertised) {
    return optional.unknown(
      check,
      `${taken}, and auth_time is among claims_supported`,
      'Some send one that proves nothing: 0, or that of an older sign-in. See it: portcullis config probe --sign-in.',
    );
  }
  return optional.unknown(
    check,
    `${taken}, but auth_time is not among claims_supported`,
    `The ID token of a fresh sign-in must have auth_time: after a revocation, for an admin’s change, for an approval and for a step-up. Where the provider leaves it out or sends 0, switch it on there. ${WITHOUT_PROOF}`,
  );
}
