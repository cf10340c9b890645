/**
 * How a provider is asked to have the user authenticate again (OpenID Connect Core §3.1.2.1), in steps.
 *
 * Not every provider takes what the standard has. Some refuse `max_age`, or `login` beside another `prompt`, with `invalid_request`; some
 * ignore one of the two. Without a second way to ask, one revocation would keep their users out for thirty days and their admins from
 * revoking for good. So the user is sent again, with less in the request.
 *
 * Threat: the requests pass through the user's browser, where anyone who holds the device can change them or answer for the provider. How the
 * provider was asked therefore proves nothing: `auth_time` in the ID token does, after each step alike.
 */
import type { ServerMetadata } from 'openid-client';
import type { ProviderConfig } from '../config/config.ts';
import { AppError } from '../core/errors.ts';
import { FRESH_SIGN_IN_METHODS, type FreshSignInMethod, type SignInChallenge } from './types.ts';

/** `providers[].freshness`: the ways that are tried. `none`: the provider proves nothing, and is not asked. */
export type FreshnessSetting = ProviderConfig['freshness'];

/** What an authorization request asks for: one of those, an `auth_time` of any age, or nothing of the kind. */
export type AuthTimeRequest = FreshSignInMethod | 'any_age' | 'nothing';

/** A year in seconds: longer than anybody stays signed in at a provider. */
const ANY_AGE = '31536000';
/**
 * Seconds. Not 0, which some providers refuse and others take for "no limit". And not 1: a provider that judges it again after its own
 * pages would ask for ever. It is below what clocks may differ by, so nothing passes here that would not pass with 0.
 */
const FRESH_AGE = '10';

/**
 * The parameters for it. `login` asks who it is although single sign-on knows, and with `max_age` the ID token must say when that was: so an
 * ordinary sign-in has one too, and an admin who has just signed in is not sent away again to prove it.
 * @param prompts values of `prompt` that the provider needs besides; left out where `login` has to stand alone
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
  /** @returns the next way for a user who was sent in these ways already; undefined after the last */
  next(tried: readonly FreshSignInMethod[]): FreshSignInMethod | undefined;
}

/**
 * Threat: a user answers in the provider's place that it refuses a way, so that all others are asked in a weaker one, without a refresh token.
 * So nothing is remembered from one user to the next; what a provider never takes is set.
 */
export function createFreshSignInMethods(setting: FreshnessSetting): FreshSignInMethods {
  const methods = setting === 'auto' ? FRESH_SIGN_IN_METHODS : setting === 'none' ? [] : [setting];
  return {
    ordinary: setting === 'auto' || setting === 'max_age' ? 'any_age' : 'nothing',
    proves: methods.length > 0,
    next: (tried) => methods.find((method) => !tried.includes(method)),
  };
}

/**
 * What a provider's discovery document says against a fresh sign-in, in a sentence for the log. It need not list all that it knows
 * (OpenID Connect Discovery §3), so this is a doubt and no verdict.
 */
export function freshSignInDoubt({
  claims_supported,
  prompt_values_supported: prompts,
}: ServerMetadata): string | undefined {
  const lacks = (listed: unknown, wanted: string): boolean => Array.isArray(listed) && !listed.includes(wanted);
  if (lacks(claims_supported, 'auth_time')) return 'claims_supported lacks auth_time';
  return lacks(prompts, 'login') ? 'prompt_values_supported lacks login' : undefined;
}

/**
 * The provider showed no proof, or refused the request, and can be asked in another way: the caller begins again with `after`. A
 * caller that does not treats it as any other rejection.
 */
export class FreshProofMissing extends AppError {
  readonly after: SignInChallenge;

  constructor({ code, message, reason, cause }: AppError, after: SignInChallenge) {
    super(code, message, { reason, cause });
    this.after = after;
  }
}
