/**
 * Checks whether the token endpoint knows our client, by the request of a re-check: a refresh, with a random
 * refresh token.
 *
 * Of all requests that authenticate a client it is the most harmless. The token is 256 random bits that no
 * provider has issued, so no user is asked about, none is locked for failed sign-ins, and no grant is found that
 * the attempt could revoke. A password grant would count against a user, `client_credentials` would make a token,
 * and an invented code looks like code injection. A provider checks the client first (RFC 6749 §3.2.1), so
 * `invalid_grant` means that the client was accepted. And it shows how this provider rejects a refresh, which is
 * what ends the session of a disabled user.
 *
 * A code is tried only where the refresh shows nothing of the client: where this client may not refresh at all, or
 * where the rejection has another error code than the standard's, which may be about the form of the token, before
 * the client was checked.
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import { isExplicitRejection } from '../errors.ts';
import type { IdentityProvider, SignInChallenge } from '../types.ts';
import type { Listener } from './listener.ts';
import { listIn, metadataOf, shown, textIn, type Metadata } from './metadata.ts';
import { needed, optional, short, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

export interface ClientProbe {
  readonly provider: IdentityProvider;
  readonly challenge: SignInChallenge;
  readonly metadata: Metadata;
  readonly listener: Listener;
  readonly redirectUri: string;
  /** The address of token requests. */
  readonly tokenEndpoint: string;
  /** The method where requests do not show it. */
  readonly method: string;
  /** Parameters of the authorization request, as a sign-in sends them. */
  readonly asked: URLSearchParams;
}

/** @returns rows of the client, of re-checks, and of how a rejected refresh is recognised */
export async function clientRows(probe: ClientProbe): Promise<readonly ProbeRow[]> {
  const randomToken = randomBytes(32).toString('base64url');
  const refresh = await outcomeOf(probe, probe.provider.recheck('no-user', randomToken));
  const isOpen = isAboutGrant(refresh) || (refresh.kind === 'accepted' && !isExplicitRejection(refresh.error?.cause));
  if (!isOpen) return [clientRow(probe, refresh), ...refreshRows(probe, refresh)];
  const callback = new URL(probe.redirectUri);
  const iss = textIn(probe.metadata, 'issuer') ?? '';
  callback.search = new URLSearchParams({ code: randomToken, state: probe.challenge.state, iss }).toString();
  const code = await outcomeOf(probe, probe.provider.finish(callback, probe.challenge));
  return [clientRow(probe, code), ...refreshRows(probe, refresh)];
}

interface Outcome {
  readonly kind: 'token' | 'accepted' | 'refused' | 'silent' | 'other';
  /** The error that a sign-in or a re-check would see. */
  readonly error?: AppError;
  readonly code?: string | undefined;
  readonly seen: string;
  /** The tries before the last one, with another method each, as a text. */
  readonly before?: string;
}

async function outcomeOf({ listener, tokenEndpoint }: ClientProbe, request: Promise<unknown>): Promise<Outcome> {
  const before = listener.all.length;
  const error = await request.then(
    () => undefined,
    (error: unknown) => error as AppError,
  );
  const tries = listener.all.slice(before).filter(({ url }) => url === tokenEndpoint);
  const last = tries.at(-1);
  if (last === undefined) return { kind: 'silent', ...(error && { error }), seen: connectionMessage(error) };
  const body = metadataOf(await last.response.clone().text(), (text) => listener.redacted(text)) ?? {};
  const code = textIn(body, 'error');
  const parts = [code ?? 'no OAuth error code', textIn(body, 'error_description')].filter((each) => each !== undefined);
  const seen = `it answered ${last.status}, ${short(parts.join(': '))}`;
  const others = tries.filter(({ proof }) => proof !== last.proof).map(({ proof, status }) => `${proof}: ${status}`);
  const rest = { ...(error && { error }), code, seen, ...(others.length > 0 && { before: others.join(', ') }) };
  if (last.status < 300) return { kind: 'token', ...rest, seen: `it answered ${last.status}` };
  const { reason = '' } = error instanceof AppError ? error : {};
  if (ACCEPTED.has(reason)) return { kind: 'accepted', ...rest };
  return { kind: reason === 'provider_client_refused' ? 'refused' : 'other', ...rest };
}

/** The result of a re-check or a sign-in where the client was known and the token or code was not. */
const ACCEPTED = new Set(['provider_refresh_refused', 'provider_code_refused']);

/** RFC 6749 §5.2: the client is known, or may be, and may not use this grant. */
const isAboutGrant = ({ code }: Outcome): boolean =>
  code === 'unsupported_grant_type' || code === 'unauthorized_client';

function clientRow({ listener, tokenEndpoint, method, metadata }: ClientProbe, outcome: Outcome): ProbeRow {
  const check = 'client authentication';
  const by = listener.all.findLast(({ url }) => url === tokenEndpoint)?.proof ?? method;
  const before = outcome.before === undefined ? '' : `, after ${outcome.before}`;
  const listed = listIn(metadata, 'token_endpoint_auth_methods_supported');
  const takes = listed === undefined ? '' : ` It lists ${shown(listed)}.`;
  switch (outcome.kind) {
    case 'accepted':
      return needed.works(check, by === 'none' ? 'as a public client, by PKCE alone' : `by ${by}${before}`);
    case 'refused':
      return needed.fails(check, `by ${by}: ${outcome.seen}${before}`, `${CORRECT[by] ?? CORRECT['none']}${takes}`);
    case 'token':
      return needed.fails(
        check,
        `${outcome.seen} to a random token`,
        'Do not use this provider: it gives tokens to anyone.',
      );
    case 'silent':
      return needed.fails(check, outcome.seen, 'A sign-in needs the token endpoint. Check the network and hosts.');
    case 'other':
      return needed.unknown(
        check,
        `by ${by}: ${outcome.seen}, which need not be about the client`,
        `A sign-in will show it; or see what the provider’s log says of this request.${takes}`,
      );
  }
}

const SECRET =
  'Check clientId and the file of the secret, and that the client is registered with this method. Some providers do not accept characters other than letters, digits and -._*.';
const CORRECT: Readonly<Record<string, string>> = {
  client_secret_basic: SECRET,
  client_secret_post: SECRET,
  private_key_jwt: 'Register the public half of clientKeyFile at the provider, and check clientId and the clocks.',
  tls_client_auth: 'Register the certificate of clientCertFile at the provider, and check clientId.',
  none: 'The provider wants this client to prove who it is: set clientSecretFile or clientAuth, or check clientId.',
};

export const NO_REFRESH_TOKEN =
  'Allow refresh tokens (offline_access) for this client. Without them a session ends after an hour.';

/** What a refresh token that came without `offline_access` is worth (docs/providers/oidc.md#refresh-without-offline_access). */
export const SINGLE_SIGN_ON_SESSION =
  'Without offline_access a refresh token, where one comes, is of the single sign-on session there: sessions here end with it, and at some providers a deleted user and a lost group go unnoticed. Set scopes: [openid, profile, email, offline_access], with groups where that is a scope.';

/** Whether the authorization request asks for a refresh token that outlives the session at the provider. */
export const asksForOffline = (asked: URLSearchParams): boolean =>
  asked.get('scope')?.split(' ').includes('offline_access') === true || asked.get('access_type') === 'offline';

function refreshRows({ metadata, asked }: ClientProbe, refresh: Outcome): readonly ProbeRow[] {
  const check = 're-checks';
  if (isAboutGrant(refresh)) {
    return [optional.fails(check, `the client may not refresh: ${refresh.seen}`, NO_REFRESH_TOKEN)];
  }
  const grants = listIn(metadata, 'grant_types_supported');
  const row =
    grants?.includes('refresh_token') === false
      ? optional.unknown(check, `grant_types_supported is ${shown(grants)}, without refresh_token`, NO_REFRESH_TOKEN)
      : asksForOffline(asked)
        ? optional.unknown(check, 'a refresh token will be asked for; whether one comes was not seen')
        : optional.unknown(
            check,
            'offline_access is not asked for, since it is not listed or not in scopes',
            SINGLE_SIGN_ON_SESSION,
          );
  return [row, rejectionRow(refresh)];
}

/** Shows how the provider says that a refresh token is not valid. */
function rejectionRow({ kind, error, seen }: Outcome): ProbeRow {
  const check = 'a refused refresh';
  if (kind === 'accepted') {
    return isExplicitRejection(error?.cause)
      ? optional.works(check, `ends the session: ${seen}`)
      : optional.works(check, `ends the session, though not by the error code of the standard: ${seen}`);
  }
  return optional.unknown(
    check,
    kind === 'other' ? `${seen}, which would be taken for an outage` : 'not seen',
    kind === 'other'
      ? 'If it says the same of a disabled user, their session lives on: set a rule on a claim.'
      : undefined,
  );
}
