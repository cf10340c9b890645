/**
 * Our side of the token endpoint (RFC 6749 §4.1.3, §6; RFC 8707; RFC 8705) and of the revocation endpoint (RFC 7009), always with
 * the session's certificate.
 */
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { clockFirst } from '../http/clock-skew.ts';
import { fault } from '../errors.ts';
import { ask, type Ask, type HttpAnswer } from '../http/http-client.ts';
import { arrayAt, numberAt, recordAt, stringAt, stringsAt, type JsonRecord } from '../http/json-shape.ts';
import { plainText } from '../terminal/plain-text.ts';
import { rejectionFault } from './rejection.ts';
import { isTokenText, parseClusters, type Binding, type CachedToken, type Endpoints, type Person } from './session.ts';

/** `client_id` under which workloads exchange their tokens. */
const WORKLOAD_CLIENT_ID = 'workload';

/** Longest life that is believed, seconds: a wrong unit must not keep a token for years. */
const MAX_EXPIRES_IN = 86_400;

export interface TokenAnswer {
  readonly token: CachedToken;
  /** The server may leave it out when it has not changed: bound refresh tokens do not rotate. */
  readonly refreshToken?: string;
  /** Absent where the server left it out. */
  readonly person?: Person;
  /** The cluster that the token is for, where it is for one. */
  readonly cluster?: string;
}

/** Where and as whom to ask. */
export interface Asker {
  readonly server: string;
  readonly endpoints: Endpoints;
  readonly binding: Binding;
}

/**
 * @throws AppError `sign_in_expired` for a code that is not good any more, `forbidden` when the person may use nothing here,
 *   `upstream_unavailable`
 */
export function redeemCode(
  asker: Asker,
  code: { readonly code: string; readonly codeVerifier: string; readonly redirectUri: string },
): Promise<TokenAnswer> {
  return requestToken(asker, {
    grant_type: 'authorization_code',
    client_id: PLUGIN_CLIENT_ID,
    code: code.code,
    code_verifier: code.codeVerifier,
    redirect_uri: code.redirectUri,
  });
}

/**
 * @param audience `urn:portcullis:…`; absent: the first cluster that the person may use
 * @throws AppError `unauthenticated` when the session is over, `forbidden` when the audience is not for this person,
 *   `upstream_unavailable` when nobody can say now
 */
export function refresh(asker: Asker, refreshToken: string, audience?: string): Promise<TokenAnswer> {
  return requestToken(asker, {
    grant_type: 'refresh_token',
    client_id: PLUGIN_CLIENT_ID,
    refresh_token: refreshToken,
    ...(audience === undefined ? {} : { resource: audience }),
  });
}

/**
 * A workload's own token for one of ours (RFC 8693).
 * @param audience `urn:portcullis:…`; absent: the first that the workload may have
 * @throws AppError `unauthenticated` when the token is not taken, `forbidden` when the audience is not for this workload,
 *   `upstream_unavailable`
 */
export function exchange(asker: Asker, subjectToken: string, audience?: string): Promise<TokenAnswer> {
  return requestToken(asker, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    client_id: WORKLOAD_CLIENT_ID,
    subject_token: subjectToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    ...(audience === undefined ? {} : { resource: audience }),
  });
}

export interface DeviceCode {
  readonly deviceCode: string;
  readonly userCode: string;
  /** As the server says it; not yet checked. */
  readonly verificationUri: string;
  /** Seconds. */
  readonly expiresIn: number;
  /** Seconds between two questions. */
  readonly interval: number;
}

/**
 * Begins a sign-in by a code (RFC 8628 §3.1, §3.2).
 * @throws AppError `upstream_unavailable`
 */
export async function askForDeviceCode(asker: Asker, url: string): Promise<DeviceCode> {
  const form = { client_id: PLUGIN_CLIENT_ID, scope: 'kubernetes' };
  const answer = await ask({ ...addressed(asker, url), body: { form } });
  if (answer.status !== 200) throw refused(asker, answer, []);
  const { body } = answer;
  const deviceCode = stringAt(body, 'device_code');
  const userCode = stringAt(body, 'user_code');
  const verificationUri = stringAt(body, 'verification_uri');
  const expiresIn = numberAt(body, 'expires_in');
  if (!deviceCode || !userCode || !verificationUri || expiresIn === undefined) {
    throw fault('upstream_unavailable', `${asker.server} gave an answer that is no code.`, 'tell your platform team', {
      reason: 'device_answer_malformed',
    });
  }
  const interval = Math.min(Math.max(numberAt(body, 'interval') ?? 5, 1), 60);
  return { deviceCode, userCode, verificationUri, expiresIn: Math.min(expiresIn, 1800), interval };
}

const TEMPORARY: ReadonlySet<string> = new Set(['server_unreachable', 'server_unavailable']);

/**
 * One question whether somebody has decided (RFC 8628 §3.4, §3.5). A server that cannot answer now is asked again, as one that says to wait.
 * @throws AppError `sign_in_refused`, `sign_in_expired`, `forbidden`
 */
export async function redeemDeviceCode(
  asker: Asker,
  deviceCode: string,
): Promise<TokenAnswer | 'authorization_pending' | 'slow_down'> {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    client_id: PLUGIN_CLIENT_ID,
    device_code: deviceCode,
  };
  const answer = await ask({ ...addressed(asker, asker.endpoints.token), body: { form } }).catch((error: unknown) => {
    // RFC 8628 §3.5: where there was no answer, less often.
    if (error instanceof AppError && TEMPORARY.has(error.reason)) return undefined;
    throw error;
  });
  if (answer === undefined || answer.status >= 500) return 'slow_down';
  const error = stringAt(answer.body, 'error');
  if (error === 'authorization_pending' || error === 'slow_down') return error;
  const next = `portcullis login --device --server ${asker.server}`;
  if (error === 'access_denied') {
    const said = without(Object.values(form), stringAt(answer.body, 'error_description') ?? '');
    throw rejectionFault(said, 'The sign-in was refused in the browser.', next);
  }
  if (error === 'expired_token') throw fault('sign_in_expired', 'Nobody typed the code in time.', next);
  return tokenIn(asker, answer, Object.values(form));
}

/** RFC 7009: ends the session at the server. @throws AppError `upstream_unavailable` */
export async function revokeRefreshToken(asker: Asker, refreshToken: string): Promise<void> {
  const answer = await ask({
    ...addressed(asker, asker.endpoints.revocation),
    body: { form: { token: refreshToken, client_id: PLUGIN_CLIENT_ID } },
  });
  if (answer.status !== 200) throw refused(asker, answer, [refreshToken]);
}

function addressed(asker: Asker, url: string): Ask {
  const ca = asker.endpoints.apiCa;
  return { method: 'POST', url, binding: asker.binding, ...(ca === undefined ? {} : { ca }) };
}

async function requestToken(asker: Asker, form: Readonly<Record<string, string>>): Promise<TokenAnswer> {
  return tokenIn(asker, await ask({ ...addressed(asker, asker.endpoints.token), body: { form } }), Object.values(form));
}

/** @param sent as of `refused` */
function tokenIn(asker: Asker, answer: HttpAnswer, sent: readonly string[]): TokenAnswer {
  if (answer.status !== 200) throw refused(asker, answer, sent);
  const read = readTokenAnswer(answer.body, Date.now());
  if (read === undefined) {
    throw fault('upstream_unavailable', `${asker.server} gave an answer that is no token.`, 'tell your platform team', {
      reason: 'token_answer_malformed',
    });
  }
  return read;
}

/**
 * @param receivedAt epoch milliseconds by this laptop's clock
 * @returns undefined when it is not what RFC 6749 §5.1 says
 */
export function readTokenAnswer(body: JsonRecord, receivedAt: number): TokenAnswer | undefined {
  const token = stringAt(body, 'access_token');
  const expiresIn = numberAt(body, 'expires_in');
  const refreshToken = stringAt(body, 'refresh_token');
  if (refreshToken !== undefined && !isTokenText(refreshToken)) return undefined;
  if (token === undefined || !isTokenText(token) || stringAt(body, 'token_type')?.toLowerCase() !== 'bearer')
    return undefined;
  if (expiresIn === undefined || expiresIn <= 0) return undefined;
  const expiresAt = receivedAt + Math.min(expiresIn, MAX_EXPIRES_IN) * 1000;
  const own = recordAt(body, 'portcullis');
  const person = own && readPerson(own);
  const cluster = own && stringAt(own, 'cluster');
  return {
    token: { token, receivedAt, expiresAt },
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(person === undefined ? {} : { person }),
    ...(cluster === undefined ? {} : { cluster }),
  };
}

function readPerson(own: JsonRecord): Person | undefined {
  const session = recordAt(own, 'session');
  const sessionId = session && stringAt(session, 'id');
  const sessionExpiresAt = session && stringAt(session, 'expiresAt');
  const account = stringAt(own, 'account');
  const username = stringAt(own, 'username');
  if (!sessionId || !sessionExpiresAt || !account || !username) return undefined;
  // It stands in commands that people are told to type.
  if (!/^[\w.~-]{1,128}$/.test(sessionId)) return undefined;
  const clusters = parseClusters(arrayAt(own, 'clusters'));
  return { sessionId, sessionExpiresAt, account, username, groups: stringsAt(own, 'groups'), clusters };
}

/**
 * RFC 6749 §5.2: from the wire's code to what the person must do.
 * @param sent values of the request; a server that repeats one of them must not bring a token into a terminal or a CI log
 */
function refused(asker: Asker, answer: HttpAnswer, sent: readonly string[]): Error {
  const error = stringAt(answer.body, 'error') ?? '';
  const said = plainText(without(sent, stringAt(answer.body, 'error_description') ?? ''));
  const login = clockFirst(answer.clockSkewMs, `portcullis login --server ${asker.server}`);
  if (error === 'invalid_grant') {
    return fault('unauthenticated', sentence(said, 'Your session is over.'), login, { reason: 'session_over' });
  }
  if (error === 'invalid_target' || error === 'access_denied') {
    const what = sentence(said, 'This is not allowed for you, or it was added after you signed in.');
    return fault('forbidden', what, `ask your platform team for access; if it is new: ${login}`, { reason: error });
  }
  if (answer.status >= 500 || answer.status === 429) {
    const what = `${asker.server} cannot answer right now (${answer.status}). ${said}`.trim();
    return fault('upstream_unavailable', what, 'try again in a moment; you stay signed in', {
      reason: 'server_unavailable',
    });
  }
  const what = `${asker.server} refused (${plainText(error, 60) || answer.status}). ${said}`.trim();
  const next = clockFirst(answer.clockSkewMs, 'try again; if it comes back, tell your platform team');
  return fault('upstream_unavailable', what, next, { reason: 'token_request_refused' });
}

/** Secrets are long; short values are words such as the grant type. */
const without = (secrets: readonly string[], text: string): string =>
  secrets.filter((secret) => secret.length >= 16).reduce((rest, secret) => rest.replaceAll(secret, '…'), text);

const sentence = (said: string, otherwise: string): string => (said === '' ? otherwise : `The server says: ${said}`);
