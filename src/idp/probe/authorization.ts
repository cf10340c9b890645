/**
 * What the authorization endpoint says of our request before anybody signs in: the very URL that a browser would be sent to, asked for by
 * us, without a cookie. Nobody is signed in by it, and what it begins at the provider expires there.
 *
 * A provider must not send a browser to an address that it does not know (RFC 6749 §4.1.2.1), so it shows an error page for that. Some
 * look at the address only after the sign-in, so the same request with an address that nobody can have registered is made as well: only
 * where that one is refused does it mean anything that ours is not.
 */
import type { IdentityProvider } from '../idp.ts';
import type { Outbound } from '../outbound.ts';
import { needed, optional, short, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

/** RFC 2606 §2: nobody can have that name. */
const REGISTERED_NOWHERE = 'https://portcullis-probe.invalid/callback';

type Reaction =
  /** On to a page: of the sign-in, or one that says what is wrong. */
  | { readonly kind: 'page'; readonly seen: string }
  | { readonly kind: 'refused'; readonly seen: string }
  /** Back to our own callback, which is therefore registered, with an error code. */
  | { readonly kind: 'returned'; readonly error: string }
  | { readonly kind: 'none'; readonly seen: string };

interface Asking {
  readonly outbound: Outbound;
  readonly redirectUri: string;
  readonly redacted: (text: string) => string;
}

export async function authorizationRows(
  provider: IdentityProvider,
  url: URL,
  { advertised, ...asking }: Asking & { /** `auth_time` is among its claims. */ readonly advertised: boolean },
): Promise<readonly ProbeRow[]> {
  const elsewhere = new URL(url);
  elsewhere.searchParams.set('redirect_uri', REGISTERED_NOWHERE);
  const fresh = provider.provesFreshness ? provider.begin({ fresh: true }) : undefined;
  const [ours, unregistered, again] = await Promise.all([
    reaction(url, asking),
    reaction(elsewhere, asking),
    fresh?.then((begun) => reaction(begun.url, asking)),
  ]);
  return [redirectRow(ours, unregistered, asking.redirectUri), freshRow(ours, again, advertised)];
}

async function reaction(url: URL, { outbound, redirectUri, redacted }: Asking): Promise<Reaction> {
  let response: Response;
  try {
    response = await outbound(url.href, { method: 'GET', headers: { accept: 'text/html' } });
  } catch (error) {
    return { kind: 'none', seen: connectionMessage(error) };
  }
  const { status } = response;
  if (status === 429 || status >= 500) return { kind: 'none', seen: `it answered ${status}` };
  if (status >= 400) return { kind: 'refused', seen: `it answered ${status}` };
  if (status < 300) return { kind: 'page', seen: `it answered ${status} with a page` };
  const target = URL.parse(response.headers.get('location') ?? '', url.href);
  if (target === null) return { kind: 'none', seen: `it answered ${status} and leads nowhere` };
  if (target.href.startsWith(`${redirectUri}?`)) {
    return { kind: 'returned', error: short(redacted(target.searchParams.get('error') ?? ''), 64) };
  }
  // Not all of it: the query repeats what was asked, and the path may name what has begun there.
  const place = short(redacted(target.origin), 100);
  // Google answers 302 here as well, and leads to a page of that name.
  const isError = target.pathname.split('/').includes('error');
  return { kind: isError ? 'refused' : 'page', seen: `it leads to a page of ${place}` };
}

/** Codes with which a provider says that it would have to ask the user. */
const WOULD_ASK = new Set([
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
      return needed.fails(
        check,
        `the authorization request was refused: ${ours.seen}`,
        `Register ${redirectUri} at the provider, exactly so, and check clientId.`,
      );
    case 'returned':
      if (WOULD_ASK.has(ours.error)) return needed.works(check, 'it leads back to our callback: registered');
      return needed.fails(
        check,
        `registered, but the authorization request was refused: ${ours.error}`,
        ours.error === 'invalid_scope'
          ? 'Set scopes to those that the client may ask for.'
          : 'See what the provider’s log says of this request: the client may lack the authorization code flow.',
      );
    case 'page':
      return unregistered.kind === 'refused'
        ? needed.works(check, `looks registered: ${ours.seen}, and one that is not was refused`)
        : needed.unknown(
            check,
            `${ours.seen}, and it does so for an address that nobody has registered`,
            `Make sure that ${redirectUri} is registered there, exactly so.`,
          );
  }
}

function freshRow(ours: Reaction, fresh: Reaction | undefined, advertised: boolean): ProbeRow {
  const check = 'fresh sign-in';
  if (fresh === undefined) {
    return optional.fails(
      check,
      'this provider proves none: no auth_time is asked for',
      'After a revocation lock the account to keep a user out. Its groups cannot be in admin.groups while admin.freshness is on.',
    );
  }
  const refusal = fresh.kind === 'returned' && !WOULD_ASK.has(fresh.error) ? fresh.error : undefined;
  if (ours.kind === 'page' && (refusal !== undefined || fresh.kind === 'refused')) {
    return optional.fails(
      check,
      `the request for one was refused${refusal === undefined ? '' : `: ${refusal}`}`,
      'Without it nobody can sign in again after a revocation, and admins who have to prove it cannot change anything.',
    );
  }
  if (fresh.kind === 'none' || fresh.kind === 'refused')
    return optional.unknown(check, 'the request could not be tried');
  if (advertised) return optional.works(check, 'the request is taken, and auth_time is among claims_supported');
  return optional.unknown(
    check,
    'the request is taken, but auth_time is not among claims_supported',
    'The ID token of a fresh sign-in must have auth_time. Where the provider leaves it out, switch it on there.',
  );
}
