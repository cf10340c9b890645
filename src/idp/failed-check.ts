/**
 * Names the check that a provider's response did not pass, for the log and the audit log.
 *
 * Waiting does not help against most of these: the next response will be like this one, because a setting at the
 * provider and one of ours do not fit together. Some are also what an attack looks like (a response of another
 * sign-in, a token of another client), and the page does not tell which, so that no attacker learns which check was
 * in the way.
 */
import * as oidc from 'openid-client';

/** What was checked: the response of the token endpoint and what came before it, or UserInfo. */
export type CheckedResponse = 'sign-in' | 'userinfo';

/** Claims of an ID token that are compared with what is expected (OpenID Connect Core §3.1.3.7). */
const COMPARED = new Map([
  ['iss', 'id_token_issuer'],
  ['aud', 'id_token_audience'],
  ['azp', 'id_token_authorized_party'],
  ['nonce', 'id_token_nonce'],
]);
const TIMES = new Map([
  ['exp', 'id_token_expired'],
  ['nbf', 'id_token_not_yet_valid'],
]);

/**
 * These may pass by themselves: a provider has just changed its keys, and the ones that we read before are kept for
 * a moment.
 */
const MAY_PASS: ReadonlySet<string> = new Set(['id_token_key_unknown', 'id_token_signature']);

/** Expected values that are secret or personal; the others come from the configuration or from discovery. */
const NEVER_SHOWN: ReadonlySet<string> = new Set(['id_token_nonce', 'state_mismatch', 'userinfo_subject']);

const MAX_EXPECTED_LENGTH = 200;
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** The check that failed. The message names it and what was expected, and has nothing of a token or its response. */
export class FailedCheck extends Error {
  /** In snake_case, as in the audit log. */
  readonly reason: string;
  readonly mayPass: boolean;

  constructor(reason: string, message: string, options: { readonly mayPass?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FailedCheck';
    this.reason = reason;
    this.mayPass = options.mayPass ?? MAY_PASS.has(reason);
  }
}

/** Checks of what the browser brought: the provider need not have sent it. */
const OF_CALLBACK: ReadonlySet<string> = new Set([
  'code_missing',
  'state_mismatch',
  'issuer_foreign',
  'issuer_missing',
]);

/** @param error of a sign-in, or the cause of one */
export const isOfCallback = (error: unknown): boolean => error instanceof FailedCheck && OF_CALLBACK.has(error.reason);

type Facts = Readonly<Record<string, unknown>>;

/** An error of the library: its fixed text, and the values that it is about. */
interface Failure {
  readonly code: string | undefined;
  readonly text: string;
  readonly facts: Facts;
}

/**
 * Returns the check that an error of openid-client is about.
 * @returns undefined where the response is none at all (no JSON, another status), which may be that of something in
 *   between
 */
export function failedCheck(error: unknown, of: CheckedResponse): FailedCheck | undefined {
  if (error instanceof FailedCheck) return error;
  if (!(error instanceof oidc.ClientError)) return undefined;
  const failure = failureOf(error);
  const reason = of === 'userinfo' ? userInfoReason(failure) : (callbackReason(failure) ?? tokenReason(failure));
  if (reason === undefined) return undefined;
  const alg = algorithmOf(failure);
  return new FailedCheck(reason, describe(reason, failure), {
    cause: error,
    // A provider that has changed its algorithm is known by the next discovery. A shared secret is never accepted.
    ...(reason === 'id_token_algorithm' ? { mayPass: alg !== undefined && !/^(?:HS|none)/.test(alg) } : {}),
  });
}

/** oauth4webapi has the values in the `cause` of its error, which openid-client wraps; its own errors have them there. */
function failureOf({ cause, message, code }: oidc.ClientError): Failure {
  const [text, values] = cause instanceof Error ? [cause.message, cause.cause] : [message, cause];
  return { code, text, facts: typeof values === 'object' && values !== null ? { ...values } : {} };
}

/**
 * An attacker leads the user to another provider than the one that was chosen (mix-up, RFC 9207 §1), or brings the
 * response of another sign-in.
 */
function callbackReason({ text, facts }: Failure): string | undefined {
  if (text.startsWith('no authorization code')) return 'code_missing';
  if (!('parameters' in facts)) return undefined;
  if (text.includes('"state"')) return 'state_mismatch';
  if (!text.includes('"iss"')) return undefined;
  return 'expected' in facts ? 'issuer_foreign' : 'issuer_missing';
}

function tokenReason(failure: Failure): string | undefined {
  const { code, text, facts } = failure;
  if (facts['attribute'] === 'issuer') return 'discovery_issuer';
  if (code === 'OAUTH_KEY_SELECTION_FAILED')
    return text.includes('multiple') ? 'id_token_key_ambiguous' : 'id_token_key_unknown';
  if (algorithmOf(failure) !== undefined) return 'id_token_algorithm';
  if ('signature' in facts) return 'id_token_signature';
  if (text.includes('"id_token"')) return 'id_token_missing';
  if (text.startsWith('JWE ')) return 'id_token_encrypted';
  if (/^(?:Invalid JWT|JWT (?:Header|Payload)|failed to parse JWT)/.test(text)) return 'id_token_malformed';
  if (!('claims' in facts)) return undefined;
  const claim = claimOf(failure);
  const time = code === 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED' ? TIMES.get(claim) : undefined;
  return time ?? COMPARED.get(claim) ?? 'id_token_malformed';
}

/** An attacker substitutes the access token of another user (OpenID Connect Core §5.3.2). */
function userInfoReason({ text, facts }: Failure): string | undefined {
  if (text.includes('body "sub"')) return 'userinfo_subject';
  const isAboutToken = text.includes('JWT') || ['claims', 'header', 'alg', 'signature'].some((each) => each in facts);
  return isAboutToken ? 'userinfo_invalid' : undefined;
}

/** Returns the claim, which a claim that is missing or of another type has in the text alone. */
const claimOf = ({ text, facts: { claim } }: Failure): string =>
  typeof claim === 'string' ? claim : (/"(\w+)" \([^)]*\) claim/.exec(text)?.[1] ?? '');

/** Returns the algorithm of a token that is signed in no way that is accepted; undefined where that is not the cause. */
function algorithmOf({ text, facts: { alg, header } }: Failure): string | undefined {
  if (typeof alg === 'string') return alg;
  if (!text.includes('"alg"') || typeof header !== 'object' || header === null) return undefined;
  return 'alg' in header ? String(header.alg) : 'none';
}

function describe(reason: string, failure: Failure): string {
  const { text, facts } = failure;
  const { expected, claims, now } = facts;
  const parts = [text];
  if (expected !== undefined && !NEVER_SHOWN.has(reason)) {
    parts.push(`expected ${(JSON.stringify(expected) ?? '').replace(UNSAFE, ' ').slice(0, MAX_EXPECTED_LENGTH)}`);
  }
  const alg = algorithmOf(failure);
  // A provider may write anything there, a secret of the request too.
  if (alg !== undefined && /^(?:none|HS\d{3}|RS\d{3}|PS\d{3}|ES\d{3}K?|EdDSA|Ed25519|Ed448)$/.test(alg))
    parts.push(`it is ${alg}`);
  const time = typeof claims === 'object' && claims !== null ? (claims as Facts)[claimOf(failure)] : undefined;
  if (typeof time === 'number' && typeof now === 'number') parts.push(`it is ${Math.round(time - now)} s from now`);
  return parts.join('; ');
}
