/**
 * The client of the token endpoint (RFC 6749 §4.1.3, §6; RFC 8707; RFC 8705) and of the revocation endpoint (RFC
 * 7009), always with the session's certificate.
 */
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { whomToAsk } from '../../core/identity/whom-to-ask.ts';
import { clockFirst } from '../http/clock-skew.ts';
import { cliError } from '../errors.ts';
import type { DeviceNameParameter } from './device-name.ts';
import { sendRequest, type HttpRequest, type HttpResponse } from '../http/http-client.ts';
import { numberAt, recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import { plainText } from '../terminal/plain-text.ts';
import { parseRejection, rejectionError } from './rejection.ts';
import {
  isTokenText,
  type Binding,
  type CachedToken,
  type Endpoints,
  type SignedInUser,
  parseUser,
} from './session.ts';
import { defined } from '../../core/defined.ts';

/** `client_id` under which workloads exchange their tokens. */
const WORKLOAD_CLIENT_ID = 'workload';

/** Longest accepted lifetime, seconds: a wrong unit must not keep a token for years. */
const MAX_EXPIRES_IN = 86_400;

export interface TokenResponse {
  readonly token: CachedToken;
  /** The server may leave it out when it has not changed: bound refresh tokens do not rotate. */
  readonly refreshToken?: string;
  /** Absent where the server left it out. */
  readonly user?: SignedInUser;
  /** The cluster that the token is for, if any. */
  readonly cluster?: string;
}

/** The server, its endpoints, and the client certificate. */
export interface TokenClient {
  readonly server: string;
  readonly endpoints: Endpoints;
  readonly binding: Binding;
}

/**
 * @throws AppError `sign_in_expired` for a code that is no longer valid, `forbidden` when the user may use nothing
 *   here, `upstream_unavailable`
 */
export function redeemCode(
  client: TokenClient,
  code: { readonly code: string; readonly codeVerifier: string; readonly redirectUri: string },
): Promise<TokenResponse> {
  return requestToken(client, {
    grant_type: 'authorization_code',
    client_id: PLUGIN_CLIENT_ID,
    code: code.code,
    code_verifier: code.codeVerifier,
    redirect_uri: code.redirectUri,
  });
}

/**
 * @param audience `urn:portcullis:…`; absent: the first cluster that the user may use
 * @throws AppError `unauthenticated` when the session is over, `forbidden` when the audience is not for this user,
 *   `upstream_unavailable` when no server can decide now
 */
export function refresh(client: TokenClient, refreshToken: string, audience?: string): Promise<TokenResponse> {
  return requestToken(client, {
    grant_type: 'refresh_token',
    client_id: PLUGIN_CLIENT_ID,
    refresh_token: refreshToken,
    ...defined({ resource: audience }),
  });
}

/**
 * Exchanges a workload's own token for one of ours (RFC 8693).
 * @param audience `urn:portcullis:…`; absent: the first that the workload may have
 * @throws AppError `unauthenticated` when the token is rejected, `forbidden` when the audience is not for this
 *   workload, `upstream_unavailable`
 */
export function exchange(client: TokenClient, subjectToken: string, audience?: string): Promise<TokenResponse> {
  return requestToken(client, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    client_id: WORKLOAD_CLIENT_ID,
    subject_token: subjectToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    ...defined({ resource: audience }),
  });
}

export interface DeviceCode {
  readonly deviceCode: string;
  readonly userCode: string;
  /** As the server sent it; not yet checked. */
  readonly verificationUri: string;
  /** Seconds. */
  readonly expiresIn: number;
  /** Seconds between two polls. */
  readonly interval: number;
}

/**
 * Requests a code for a sign-in on another machine (RFC 8628 §3.1, §3.2).
 * @throws AppError `upstream_unavailable`
 */
export async function requestDeviceCode(
  client: TokenClient,
  url: string,
  named: DeviceNameParameter,
): Promise<DeviceCode> {
  const form = { client_id: PLUGIN_CLIENT_ID, scope: 'kubernetes', ...named };
  const response = await sendRequest({ ...addressed(client, url), body: { form } });
  if (response.status !== 200) throw requestError(client, response, []);
  const { body } = response;
  const deviceCode = stringAt(body, 'device_code');
  const userCode = stringAt(body, 'user_code');
  const verificationUri = stringAt(body, 'verification_uri');
  const expiresIn = numberAt(body, 'expires_in');
  if (!deviceCode || !userCode || !verificationUri || expiresIn === undefined) {
    throw cliError(
      'upstream_unavailable',
      `${client.server} sent a response without a code.`,
      'tell your platform team',
      {
        reason: 'device_answer_malformed',
      },
    );
  }
  const interval = Math.min(Math.max(numberAt(body, 'interval') ?? 5, 1), 60);
  return { deviceCode, userCode, verificationUri, expiresIn: Math.min(expiresIn, 1800), interval };
}

const TEMPORARY: ReadonlySet<string> = new Set(['server_unreachable', 'server_unavailable']);

/**
 * Polls once whether the user has decided (RFC 8628 §3.4, §3.5). A server that is unavailable is polled again, like
 * one that says to wait.
 * @throws AppError `sign_in_refused`, `sign_in_expired`, `forbidden`
 */
export async function redeemDeviceCode(
  client: TokenClient,
  deviceCode: string,
): Promise<TokenResponse | 'authorization_pending' | 'slow_down'> {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    client_id: PLUGIN_CLIENT_ID,
    device_code: deviceCode,
  };
  const response = await sendRequest({ ...addressed(client, client.endpoints.token), body: { form } }).catch(
    (error: unknown) => {
      // RFC 8628 §3.5: without a response, poll less often.
      if (error instanceof AppError && TEMPORARY.has(error.reason)) return undefined;
      throw error;
    },
  );
  if (response === undefined || response.status >= 500) return 'slow_down';
  const error = stringAt(response.body, 'error');
  if (error === 'authorization_pending' || error === 'slow_down') return error;
  const next = `portcullis login --device --server ${client.server}`;
  if (error === 'access_denied') {
    const description = without(Object.values(form), stringAt(response.body, 'error_description') ?? '');
    throw rejectionError(description, 'The sign-in was refused in the browser.', next);
  }
  if (error === 'expired_token') throw cliError('sign_in_expired', 'No user typed the code in time.', next);
  return tokenFrom(client, response, Object.values(form));
}

/** Ends the session at the server (RFC 7009). @throws AppError `upstream_unavailable` */
export async function revokeRefreshToken(client: TokenClient, refreshToken: string): Promise<void> {
  const response = await sendRequest({
    ...addressed(client, client.endpoints.revocation),
    body: { form: { token: refreshToken, client_id: PLUGIN_CLIENT_ID } },
  });
  if (response.status !== 200) throw requestError(client, response, [refreshToken]);
}

function addressed(client: TokenClient, url: string): HttpRequest {
  const ca = client.endpoints.apiCa;
  return { method: 'POST', url, binding: client.binding, ...defined({ ca }) };
}

async function requestToken(client: TokenClient, form: Readonly<Record<string, string>>): Promise<TokenResponse> {
  return tokenFrom(
    client,
    await sendRequest({ ...addressed(client, client.endpoints.token), body: { form } }),
    Object.values(form),
  );
}

/** @param sent as of `requestError` */
function tokenFrom(client: TokenClient, response: HttpResponse, sent: readonly string[]): TokenResponse {
  if (response.status !== 200) throw requestError(client, response, sent);
  const read = parseTokenResponse(response.body, Date.now());
  if (read === undefined) {
    throw cliError(
      'upstream_unavailable',
      `${client.server} sent a response without a token.`,
      'tell your platform team',
      {
        reason: 'token_answer_malformed',
      },
    );
  }
  return read;
}

/**
 * @param receivedAt epoch milliseconds by this machine's clock
 * @returns undefined when it is not the response of RFC 6749 §5.1
 */
export function parseTokenResponse(body: JsonRecord, receivedAt: number): TokenResponse | undefined {
  const token = stringAt(body, 'access_token');
  const expiresIn = numberAt(body, 'expires_in');
  const refreshToken = stringAt(body, 'refresh_token');
  if (refreshToken !== undefined && !isTokenText(refreshToken)) return undefined;
  if (token === undefined || !isTokenText(token) || stringAt(body, 'token_type')?.toLowerCase() !== 'bearer')
    return undefined;
  if (expiresIn === undefined || expiresIn <= 0) return undefined;
  const expiresAt = receivedAt + Math.min(expiresIn, MAX_EXPIRES_IN) * 1000;
  const extension = recordAt(body, 'portcullis');
  const user = extension && userOf(extension);
  const cluster = extension && stringAt(extension, 'cluster');
  return {
    token: { token, receivedAt, expiresAt },
    ...defined({ refreshToken, user, cluster }),
  };
}

function userOf(extension: JsonRecord): SignedInUser | undefined {
  const session = recordAt(extension, 'session');
  const { id: sessionId, expiresAt: sessionExpiresAt, deviceName } = session ?? {};
  const user = parseUser({ ...extension, sessionId, sessionExpiresAt, deviceName });
  // It becomes part of commands that users are told to type.
  return user !== undefined && /^[\w.~-]{1,128}$/.test(user.sessionId) ? user : undefined;
}

/**
 * Maps an error of RFC 6749 §5.2 to the next step of the user.
 * @param sent values of the request; a server that repeats one of them must not bring a token into a terminal or a
 *   CI log
 */
function requestError(client: TokenClient, response: HttpResponse, sent: readonly string[]): Error {
  const error = stringAt(response.body, 'error') ?? '';
  const description = plainText(without(sent, stringAt(response.body, 'error_description') ?? ''));
  const login = clockFirst(response.clockSkewMs, `portcullis login --server ${client.server}`);
  if (error === 'invalid_grant') {
    const asked = whomToAsk(description);
    const what = asked?.what ?? sentence(description, 'Your session is over.');
    return cliError('unauthenticated', what, asked?.next ?? login, { reason: 'session_over' });
  }
  if (error === 'invalid_target' || error === 'access_denied') {
    const what = sentence(description, 'You may not use this, or it was added after you signed in.');
    return cliError('forbidden', what, `ask your platform team for access; if it is new: ${login}`, { reason: error });
  }
  if (response.status >= 500 || response.status === 429) {
    const { what, facts } = parseRejection(description);
    const message = [`${client.server} is unavailable (${response.status}). ${what}`.trim(), ...facts].join('\n  ');
    const next =
      facts.length > 0
        ? 'ask there and give the request id; you stay signed in'
        : 'try again in a moment; you stay signed in';
    return cliError('upstream_unavailable', message, next, { reason: 'server_unavailable' });
  }
  const what =
    `${client.server} rejected the request (${plainText(error, 60) || response.status}). ${description}`.trim();
  const next = clockFirst(response.clockSkewMs, 'try again; if it fails again, tell your platform team');
  return cliError('upstream_unavailable', what, next, { reason: 'token_request_refused' });
}

/** Secrets are long; short values are plain text such as the grant type. */
const without = (secrets: readonly string[], text: string): string =>
  secrets.filter((secret) => secret.length >= 16).reduce((rest, secret) => rest.replaceAll(secret, '…'), text);

const sentence = (description: string, otherwise: string): string =>
  description === '' ? otherwise : `The server says: ${description}`;
