/**
 * How a provider is asked to have the user authenticate again (OpenID Connect Core §3.1.2.1), in steps.
 *
 * Not every provider accepts what the standard has. Some reject `max_age`, or `login` beside another `prompt`,
 * with `invalid_request`; some ignore one of the two. Without a second method, one revocation would keep their
 * users out for thirty days and their admins from revoking at all. So the user is sent again, with less in the
 * request.
 *
 * The requests pass through the user's browser, where an attacker who holds the device can change them or respond
 * for the provider. How the provider was asked therefore proves nothing: `auth_time` in the ID token does, after
 * each step alike.
 */
import type { ServerMetadata } from 'openid-client';
import type { ProviderConfig } from '../config/config.ts';
import { AppError } from '../core/errors.ts';
import type { Unproven } from '../core/identity/auth-time.ts';
import { ON_THE_SERVER } from '../core/identity/fresh-sign-in.ts';
import { UnprovenSignIn } from './auth-time.ts';
import { FRESH_SIGN_IN_METHODS, type FreshSignInMethod, type SignInChallenge } from './types.ts';

/** `providers[].freshness`: the methods that are tried. `none`: the provider proves nothing, and is not asked. */
export type FreshnessSetting = ProviderConfig['freshness'];

/** What an authorization request asks for: one of those methods, an `auth_time` of any age, or neither. */
export type AuthTimeRequest = FreshSignInMethod | 'any_age' | 'nothing';

/** A year in seconds: longer than any session at a provider. */
const ANY_AGE = '31536000';
/**
 * Seconds. Not 0, which some providers reject and others take for "no limit". And not 1: a provider that checks it
 * again after its own pages would ask for ever. It is below what clocks may differ by, so nothing passes here that
 * would not pass with 0.
 */
const FRESH_AGE = '10';

/**
 * Returns the request's parameters. `login` asks the user although single sign-on knows them, and with `max_age`
 * the ID token must say when that was: so an ordinary sign-in has it too, and an admin who has just signed in need
 * not go there again to prove it.
 * @param prompts values of `prompt` that the provider needs as well; left out where `login` has to be alone
 */
export function authTimeParameters(
  request: AuthTimeRequest,
  prompts: readonly string[],
): Readonly<Record<string, string>> {
  const prompt = (values: readonly string[]) => (values.length === 0 ? {} : { prompt: values.join(' ') });
  switch (request) {
    case 'nothing':
      return prompt(prompts);
    case 'any_age':
      return { ...prompt(prompts), max_age: ANY_AGE };
    case 'login_and_max_age':
      return { ...prompt(['login', ...prompts]), max_age: FRESH_AGE };
    case 'login':
      return prompt(['login']);
    case 'max_age':
      return { ...prompt(prompts), max_age: FRESH_AGE };
  }
}

export interface FreshSignInMethods {
  /** What an ordinary sign-in asks for. */
  readonly ordinary: AuthTimeRequest;
  /** Whether the provider is asked at all. */
  readonly proves: boolean;
  /** @returns the next method for a user with whom these were tried already; undefined after the last */
  next(tried: readonly FreshSignInMethod[]): FreshSignInMethod | undefined;
}

/**
 * An attacker responds in the provider's place that it rejects a method, so that all other users are asked by a
 * weaker one. So nothing is remembered from one user to the next; what a provider never accepts is configured.
 */
export function createFreshSignInMethods(setting: FreshnessSetting): FreshSignInMethods {
  const methods = setting === 'auto' ? FRESH_SIGN_IN_METHODS : setting === 'none' ? [] : [setting];
  return {
    ordinary: setting === 'auto' || setting === 'max_age' ? 'any_age' : 'nothing',
    proves: methods.length > 0,
    next: (tried) => methods.find((method) => !tried.includes(method)),
  };
}

/** What in a provider's discovery document makes a fresh sign-in doubtful, for the log. */
export interface FreshSignInDoubt {
  readonly doubt: string;
  /** What fails then. */
  readonly fails: string;
  /** What to do. */
  readonly action: string;
}

const FAILS =
  'after a revocation its users cannot sign in; admins among them cannot revoke, lock or unlock, approvers cannot approve, and no step-up succeeds';
const TRY = 'try it before you need it: portcullis step-up';

/** The document need not list everything (OpenID Connect Discovery §3), so this is a doubt and no verdict. */
export function freshSignInDoubt({
  claims_supported,
  prompt_values_supported: prompts,
}: ServerMetadata): FreshSignInDoubt | undefined {
  const lacks = (listed: unknown, wanted: string): boolean => Array.isArray(listed) && !listed.includes(wanted);
  if (lacks(claims_supported, 'auth_time')) {
    const action = `have the provider put auth_time into its ID tokens, and ${TRY}; ${ON_THE_SERVER} work without it on the server’s own shell`;
    return { doubt: 'claims_supported lacks auth_time', fails: FAILS, action };
  }
  if (!lacks(prompts, 'login')) return undefined;
  const action = `set freshness: max_age for this provider, and ${TRY}`;
  return { doubt: 'prompt_values_supported lacks login', fails: FAILS, action };
}

/**
 * Returns whether another method may prove a fresh sign-in where this one did not. A moment that is missing after `max_age`
 * asked for it, or lies in the future, stays so: the user has typed their password for nothing already, and would again at
 * each further step.
 */
export const mayProveOtherwise = ({ defect }: Unproven, method: FreshSignInMethod | undefined): boolean =>
  defect === 'stale' || (defect === 'missing' && method === 'login');

/**
 * The provider showed no proof, or rejected the request, and can be asked by another method: the caller begins
 * again with `after`. A caller that does not treats it as any other rejection.
 */
export class FreshProofMissing extends AppError {
  readonly after: SignInChallenge;
  /** What the provider said instead. */
  readonly unproven: Unproven | undefined;

  constructor(rejection: AppError, after: SignInChallenge) {
    const { code, message, reason, cause } = rejection;
    super(code, message, { reason, cause });
    this.after = after;
    this.unproven = rejection instanceof UnprovenSignIn ? rejection.unproven : undefined;
  }
}
