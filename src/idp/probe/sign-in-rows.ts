/** The results of `config probe --sign-in`, out of what a sign-in and a refresh have shown. */
import type { ProviderConfig } from '../../config/config.ts';
import type { AppError } from '../../core/errors.ts';
import { readAuthTime, type Unproven } from '../../core/identity/auth-time.ts';
import { groupsInOneText, oneTextNote } from '../../core/identity/claims-parts.ts';
import { accountOf } from '../../core/identity/identity.ts';
import type { ClaimsMapping } from '../../core/identity/types.ts';
import { DEFECT_TEXT } from '../auth-time.ts';
import { causesOf, isAboutProof, type Attempt, type Refresh } from './attempt.ts';
import { METHOD_TEXT, UNPROVEN } from './authorization.ts';
import { claimsRead, disabledUsersRow } from './claims.ts';
import { asksForOffline, NO_REFRESH_TOKEN, SINGLE_SIGN_ON_SESSION } from './client.ts';
import { tokenClockRow } from './clock.ts';
import { isVerifiable, USABLE } from './keys.ts';
import { shown, textIn, type Metadata } from './metadata.ts';
import { needed, optional, short, type ProbeRow } from './row.ts';

interface SignInFacts {
  readonly config: ProviderConfig;
  /** Absent for GitHub. */
  readonly mapping?: ClaimsMapping | undefined;
  /** Seconds. */
  readonly clockSkew?: number | undefined;
  readonly metadata: Metadata;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
  /** Why no further attempt could begin. */
  readonly begun?: AppError | undefined;
  readonly refresh?: Refresh;
  readonly disabled?: Refresh;
  readonly redacted: (text: string) => string;
}

/** @returns rows in the order of a sign-in; only of what was seen */
export function signInRows(facts: SignInFacts): readonly ProbeRow[] {
  const { config, mapping, metadata, attempts, clockSkew } = facts;
  const last = attempts.at(-1);
  const signIn = signInRow(facts);
  if (last === undefined) return [signIn];
  const callback = needed.works('redirect URI', 'the browser came back to our callback');
  const tokens = last.tokens;
  if (tokens === undefined) return [signIn, callback];
  const isGithub = config.type === 'github';
  const { proof = config.clientAuth ?? (isGithub ? 'client_secret_post' : 'none') } = tokens;
  return [
    signIn,
    callback,
    needed.works('client authentication', proof === 'none' ? 'as a public client, by PKCE alone' : `by ${proof}`),
    ...(isGithub
      ? []
      : [signatureRow(last, metadata), tokenClockRow(tokens.idToken?.claims['iat'], tokens.at, clockSkew)]),
    ...freshRows(facts),
    claimsRow(last, config),
    ...groupsRows(last, config, mapping),
    ...recheckRows(facts),
    ...sidRows(last, config),
  ];
}

function signInRow({ config, attempts, begun, redacted }: SignInFacts): ProbeRow {
  const check = 'sign-in';
  const last = attempts.at(-1);
  const error = begun ?? last?.error;
  if (error !== undefined) return needed.fails(check, error.message, `The reason is ${causesOf(error, redacted)}.`);
  return last?.user === undefined
    ? needed.unknown(check, 'no address was given')
    : needed.works(check, `as ${accountOf(config.name, last.user.subject)}`);
}

/** A rejection by a rule or the mapping comes after the ID token was verified, and so does a request for UserInfo. */
const wasVerified = (attempt: Attempt): boolean =>
  attempt.user !== undefined ||
  attempt.askedUserInfo ||
  (attempt.error?.code === 'sign_in_refused' && !isAboutProof(attempt));

function signatureRow(last: Attempt, metadata: Metadata): ProbeRow {
  const check = 'ID token signature';
  const header = last.tokens?.idToken?.header;
  if (header === undefined) return needed.fails(check, 'no ID token came that can be read', USABLE);
  const [alg, kid] = [textIn(header, 'alg') ?? 'nothing', textIn(header, 'kid')];
  const seen = `${short(alg, 30)}, ${kid === undefined ? 'without a key id' : `by the key ${short(kid, 60)}`}`;
  if (wasVerified(last)) return needed.works(check, `${seen}; verified`);
  return isVerifiable(alg, metadata)
    ? needed.unknown(check, `${seen}; the ID token was rejected`)
    : needed.fails(
        check,
        `${seen}: not listed in its discovery document, or no signature that can be verified`,
        USABLE,
      );
}

/** The proof of each attempt that asked for one, by what the ID token says. */
function freshRows({ config, attempts, clockSkew }: SignInFacts): readonly ProbeRow[] {
  if (config.freshness === 'none') return [UNPROVEN];
  const asked = attempts.filter(({ challenge }) => challenge.asked !== undefined);
  const last = asked.at(-1);
  if (last?.tokens === undefined) return [];
  const check = 'fresh sign-in';
  const methodOf = ({ challenge }: Attempt) => challenge.asked?.at(-1) ?? 'login_and_max_age';
  const seen = asked
    .map((attempt) => `${METHOD_TEXT[methodOf(attempt)]}: ${authTimeText(attempt, clockSkew)}`)
    .join('; ');
  const isProven = wasVerified(last) && typeof authTimeOf(last, clockSkew) === 'number';
  if (isProven && asked.length > 1) {
    return [optional.works(check, seen, `Set freshness: ${methodOf(last)}, so that no user is asked more than once.`)];
  }
  if (isProven) return [optional.works(check, seen)];
  // Whatever else was wrong with that ID token: the row of the sign-in says it.
  if (last.error !== undefined && !isAboutProof(last)) return [optional.unknown(check, seen)];
  return [
    optional.fails(
      check,
      seen,
      'After a revocation no user can sign in again, and no admin who has to prove a fresh sign-in can change anything. Have the provider send auth_time of the sign-in itself; until then portcullis lock --config FILE, on the server’s own shell, keeps a user out.',
    ),
  ];
}

const authTimeOf = ({ tokens }: Attempt, clockSkew: number | undefined): number | Unproven =>
  readAuthTime(tokens?.idToken?.claims['auth_time'], { now: secondsOf(tokens), clockSkew });
const secondsOf = (tokens: Attempt['tokens']): number => Math.floor((tokens?.at ?? 0) / 1000);

function authTimeText(attempt: Attempt, clockSkew: number | undefined): string {
  if (attempt.tokens === undefined) return 'the provider refused the request';
  const read = authTimeOf(attempt, clockSkew);
  if (typeof read === 'number') return `auth_time is ${secondsOf(attempt.tokens) - read} s old`;
  const { defect, seen } = read;
  if (seen === 'absent') return 'the ID token has no auth_time';
  if (defect === 'future') return `auth_time is ${Number(seen) - secondsOf(attempt.tokens)} s ahead of our clock`;
  return `auth_time is ${seen}, which is ${DEFECT_TEXT[defect]}`;
}

function claimsRow({ tokens, userInfo, user }: Attempt, config: ProviderConfig): ProbeRow {
  const check = 'claims';
  const came = { ...userInfo, ...tokens?.idToken?.claims };
  const read = claimsRead(config);
  // Entra's and Google's groups may come from a directory.
  const missing = read.filter(
    (claim) => came[claim] === undefined && !(claim === 'groups' && (user?.identity.groups.length ?? 0) > 0),
  );
  const seen = `read: ${shown(read)}`;
  if (missing.length === 0) return needed.works(check, `${seen}; all came`);
  return needed.unknown(
    check,
    `${seen}; ${shown(missing)} did not come for this user`,
    'If this user should have them, see that the provider puts them into the ID token or the UserInfo response.',
  );
}

function groupsRows(
  { user, tokens, userInfo }: Attempt,
  config: ProviderConfig,
  mapping: ClaimsMapping | undefined,
): readonly ProbeRow[] {
  if (user === undefined) return [];
  const { groups } = user.identity;
  const came = { ...userInfo, ...tokens?.idToken?.claims };
  const claim = mapping === undefined ? undefined : groupsInOneText(mapping, came, user.identity);
  const listed = `${groups.length}: ${shown(groups)}`;
  if (claim !== undefined) return [optional.unknown('groups', listed, oneTextNote(claim, 'providers[].groups'))];
  if (groups.length > 0) return [optional.works('groups', listed)];
  const seen = config.groups === undefined ? 'none: providers[].groups is not set' : 'none for this user';
  return [optional.unknown('groups', seen)];
}

function recheckRows({ config, attempts, refresh, disabled, redacted }: SignInFacts): readonly ProbeRow[] {
  const check = 're-checks';
  const last = attempts.at(-1);
  if (last?.user === undefined) return [];
  const isOffline = config.type === 'github' || asksForOffline(last.asked);
  if (refresh === undefined) {
    return [optional.fails(check, 'no refresh token came', isOffline ? NO_REFRESH_TOKEN : SINGLE_SIGN_ON_SESSION)];
  }
  const { user, error, tokens } = refresh;
  if (user === undefined) {
    const reason = error === undefined ? '' : causesOf(error, redacted);
    const action = `Each session ends, or gets no more tokens, at its first refresh. The reason is ${reason}.`;
    return [needed.fails(check, error?.message ?? 'the refresh failed', action)];
  }
  const brought =
    config.type === 'github'
      ? 'the API confirms the user'
      : `a refresh works, ${tokens?.idToken === undefined ? 'without an ID token' : 'with an ID token'}`;
  const lost = last.user.identity.groups.filter((group) => !user.identity.groups.includes(group));
  if (user.identity.username !== last.user.identity.username || lost.length > 0) {
    const change = lost.length > 0 ? `lost the groups ${shown(lost)}` : 'gave another username';
    return [
      needed.fails(
        check,
        `${brought}, but ${change}`,
        'Have the provider put each claim that is read into the ID token of a refresh, or into the UserInfo response.',
      ),
    ];
  }
  return [
    isOffline
      ? optional.works(check, brought)
      : optional.works(check, `${brought}, as long as the single sign-on session there`, SINGLE_SIGN_ON_SESSION),
    ...disabledRows({ config, isOffline, redacted }, disabled),
  ];
}

function disabledRows(
  { config, isOffline, redacted }: Pick<SignInFacts, 'config' | 'redacted'> & { readonly isOffline: boolean },
  disabled: Refresh | undefined,
): readonly ProbeRow[] {
  const check = 'disabled users';
  // The vendors of the other types are known to reject.
  if (disabled === undefined) return config.type === 'oidc' ? [disabledUsersRow(config)] : [];
  const { user, error } = disabled;
  if (user !== undefined) {
    return [
      optional.fails(
        check,
        'this user was refreshed after they were disabled',
        isOffline
          ? 'Set a rule on a claim that changes then, such as claims.active == true, or lock the account here as well.'
          : SINGLE_SIGN_ON_SESSION,
      ),
    ];
  }
  const reason = error === undefined ? '' : causesOf(error, redacted);
  return error?.code === 'sign_in_refused'
    ? [optional.works(check, `their session ends at the next re-check: ${reason}`)]
    : [
        optional.fails(
          check,
          `taken for an outage: ${reason}`,
          'Such a user gets no new token (503), and their streams end after sessions.recheckGrace; the session itself goes on. Set a rule on a claim that changes when a user is disabled.',
        ),
      ];
}

/** OpenID Connect Back-Channel Logout 1.0 §2.1. */
function sidRows({ tokens }: Attempt, { backchannelLogout, type }: ProviderConfig): readonly ProbeRow[] {
  if (backchannelLogout !== 'session' || type === 'github') return [];
  const check = 'sid';
  const sid = tokens?.idToken?.claims['sid'];
  return [
    typeof sid === 'string' && sid !== ''
      ? optional.works(check, 'came in the ID token: a back-channel logout can name this session')
      : optional.unknown(
          check,
          'did not come in the ID token: a back-channel logout that names the user ends all of their sessions',
          'One that names a session alone ends none. Have the provider put sid into the ID token, if it can.',
        ),
  ];
}
