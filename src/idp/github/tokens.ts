/**
 * GitHub's tokens: redeemed for a code, refreshed where they expire, and in the form in which a session keeps
 * them.
 *
 * A token of an OAuth app lives until it is revoked; one of a GitHub App for eight hours, with a refresh token
 * that may be used once. GitHub reports errors of this endpoint with 200 and an `error`.
 * @see https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
 * @see
 *   https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
 */
import * as z from 'zod';
import type { Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import type { Outbound } from '../outbound.ts';
import { misconfigured } from '../errors.ts';
import { refreshRejected, rejected, unavailable } from './errors.ts';
import { defined } from '../../core/defined.ts';

/** A token that expires within this is refreshed before it is used. */
const SPARE_SECONDS = 60;

const stored = z.object({
  accessToken: z.string().min(1),
  refreshToken: z.string().min(1).optional(),
  /** Epoch seconds. */
  expiresAt: z.int().optional(),
});

/** The tokens that a session keeps in the place of a refresh token, sealed as one. */
export type GithubTokens = Readonly<z.output<typeof stored>>;

export const packTokens = (tokens: GithubTokens): string => JSON.stringify(tokens);

/** @throws AppError `sign_in_refused` where it is nothing that we packed: no provider can be asked with it */
export function unpackTokens(provider: string, packed: string): GithubTokens {
  try {
    return stored.parse(JSON.parse(packed));
  } catch {
    // Without the cause: it may quote what it could not read.
    throw refreshRejected(provider);
  }
}

/** @param nowMs epoch milliseconds */
export const isExpiring = ({ expiresAt }: GithubTokens, nowMs: number): boolean =>
  expiresAt !== undefined && expiresAt - SPARE_SECONDS <= nowMs / 1000;

const granted = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  expires_in: z.int().positive().optional(),
  refresh_token: z.string().min(1).optional(),
});
const errorBody = z.object({ error: z.string() });

export interface TokenEndpoint {
  /** @throws AppError `sign_in_expired` for a code that is not valid, `provider_unavailable` */
  redeem(code: string, codeVerifier: string, signal: AbortSignal): Promise<GithubTokens>;
  /** @throws AppError `sign_in_refused` for a token that is no longer valid, `provider_unavailable` */
  refresh(refreshToken: string, signal: AbortSignal): Promise<GithubTokens>;
}

export interface TokenEndpointOptions {
  readonly provider: string;
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: () => string;
  readonly redirectUri: string;
  readonly outbound: Outbound;
  readonly clock: Clock;
}

export function createTokenEndpoint(options: TokenEndpointOptions): TokenEndpoint {
  const ask = async (form: Record<string, string>, signal: AbortSignal): Promise<GithubTokens> => {
    const response = await post(options, form, signal);
    const grant = granted.safeParse(response.body);
    if (response.status !== 200 || !grant.success) throw tokenError(options.provider, response);
    const { access_token: accessToken, refresh_token: refreshToken, expires_in: life } = grant.data;
    return {
      accessToken,
      ...defined({ refreshToken }),
      ...(life === undefined ? {} : { expiresAt: Math.floor(options.clock.nowMs() / 1000) + life }),
    };
  };
  return {
    redeem: (code, codeVerifier, signal) =>
      ask({ code, code_verifier: codeVerifier, redirect_uri: options.redirectUri }, signal),
    refresh: (refreshToken, signal) => ask({ grant_type: 'refresh_token', refresh_token: refreshToken }, signal),
  };
}

interface TokenResponse {
  readonly status: number;
  readonly body: unknown;
}

async function post(
  { provider, url, clientId, clientSecret, outbound }: TokenEndpointOptions,
  form: Record<string, string>,
  signal: AbortSignal,
): Promise<TokenResponse> {
  try {
    const response = await outbound(url, {
      method: 'POST',
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
        'user-agent': 'portcullis',
      },
      body: new URLSearchParams({ ...form, client_id: clientId, client_secret: clientSecret() }).toString(),
      signal,
    });
    return { status: response.status, body: json(await response.text()) };
  } catch (cause) {
    throw unavailable(provider, 'provider_unreachable', cause);
  }
}

/** @returns undefined for what is not JSON */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @see https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors */
function tokenError(provider: string, { status, body }: TokenResponse): AppError {
  const parsed = errorBody.safeParse(body);
  const error = parsed.success && /^[a-z_]{1,60}$/.test(parsed.data.error) ? parsed.data.error : undefined;
  const cause = new Error(`the token endpoint answered ${status}, ${error ?? 'without an error code'}`);
  switch (error) {
    case 'bad_verification_code':
      return new AppError('sign_in_expired', 'This sign-in is too old or was already used. Start again.', {
        reason: 'provider_code_refused',
        cause,
      });
    case 'bad_refresh_token':
      return refreshRejected(provider, cause);
    case 'unverified_user_email':
      return rejected(
        'email_unverified',
        `Verify your primary e-mail address at ${provider}, then sign in again.`,
        cause,
      );
    case 'incorrect_client_credentials':
      return misconfigured(provider, 'provider_client_refused', cause);
    case 'redirect_uri_mismatch':
      return misconfigured(provider, 'provider_error', cause);
    case undefined:
      return unavailable(provider, status === 200 ? 'provider_answer_invalid' : 'provider_error', cause);
    default:
      return unavailable(provider, 'provider_error', cause);
  }
}
