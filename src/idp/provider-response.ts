/**
 * The error response of a provider, taken out of openid-client's errors: the status, the OAuth error code and the
 * description, and nothing else of the response.
 *
 * The library keeps these in different places for each kind of error. It throws before it reads the body where
 * there is a `WWW-Authenticate` header or where the body is not declared as JSON, and keeps a callback's
 * parameters in a `URLSearchParams`, which a log shows as `{}`.
 */
import * as oidc from 'openid-client';
import { formEncoded } from './form-encoding.ts';

/** A reader of the log needs a sentence, not a page. */
const MAX_DESCRIPTION_LENGTH = 200;
const MAX_CODE_LENGTH = 64;

/** Values of the request that no log may show: the provider may repeat them in its description. */
export type Secrets = readonly (string | undefined)[];

interface ErrorResponseFields {
  /** HTTP status; undefined for an error that came with the browser. */
  readonly status?: number;
  /** OAuth error code (RFC 6749 §4.1.2.1, §5.2). */
  readonly error?: string | undefined;
  readonly error_description?: string | undefined;
  /** The body is an HTML page: of a reverse proxy, a firewall or a captive portal, and not of a token endpoint. */
  readonly isPage?: boolean;
  /** Each try to authenticate the client, with the status that it got. */
  readonly tries?: readonly string[] | undefined;
}

/** An error response of the provider, in text that may be logged. */
export class ProviderErrorResponse extends Error {
  readonly status: number | undefined;
  readonly error: string | undefined;
  /**
   * Bounded, on one line, without values of the request. Named as on the wire, because operators search for that
   * name.
   */
  readonly error_description: string | undefined;
  readonly isPage: boolean;

  constructor({ status, error, error_description, isPage = false, tries = [] }: ErrorResponseFields) {
    const from = status === undefined ? 'the browser came back' : `the provider answered ${status}`;
    const code = error ?? (isPage ? 'a page in place of an OAuth error' : 'no OAuth error code');
    const tried = tries.length === 0 ? '' : ` (${tries.join(', ')})`;
    super(`${from} with ${code}${error_description === undefined ? '' : `: ${error_description}`}${tried}`);
    this.name = 'ProviderAnswer';
    this.status = status;
    this.error = error;
    this.error_description = error_description;
    this.isPage = isPage;
  }
}

/**
 * By response, and not as a part of it: a provider could write such a part, too. openid-client has the response in
 * its error.
 */
const triesOf = new WeakMap<Response, readonly string[]>();

/** Notes how the client was authenticated for a response, for the log. @returns the response */
export function noteTries(response: Response, tries: readonly string[]): Response {
  triesOf.set(response, tries);
  return response;
}

/**
 * Reads the provider's error response from an error of openid-client.
 * @param secrets of the request: token, code, state, client secret
 * @returns a `ProviderErrorResponse` for an HTTP error and for an error at the callback; any other error as it is
 */
export async function readErrorResponse(thrown: unknown, secrets: Secrets): Promise<Error> {
  if (thrown instanceof oidc.AuthorizationResponseError) return errorResponseOf({}, thrown, secrets);
  // Its body has been read: it was JSON with an error code.
  if (thrown instanceof oidc.ResponseBodyError) {
    return errorResponseOf({ status: thrown.status, tries: triesOf.get(thrown.response) }, thrown, secrets);
  }
  const response = responseIn(thrown);
  if (response === undefined || response.status < 400)
    return thrown instanceof Error ? thrown : new Error('not an error', { cause: thrown });
  // openid-client does not read the body where there is a challenge (RFC 6749 §5.2), and the error code is in the body.
  const text = response.bodyUsed ? '' : await response.text().catch(() => '');
  const body = jsonObject(text);
  const isPage = body === undefined && isHtml(text, response.headers.get('content-type') ?? '');
  return errorResponseOf({ status: response.status, isPage, tries: triesOf.get(response) }, body ?? {}, secrets);
}

function responseIn(thrown: unknown): Response | undefined {
  if (thrown instanceof oidc.WWWAuthenticateChallengeError) return thrown.response;
  return thrown instanceof oidc.ClientError && thrown.cause instanceof Response ? thrown.cause : undefined;
}

function errorResponseOf(
  facts: Pick<ErrorResponseFields, 'status' | 'isPage' | 'tries'>,
  fields: { readonly error?: unknown; readonly error_description?: unknown },
  secrets: Secrets,
): ProviderErrorResponse {
  const error = cleaned(fields.error, MAX_CODE_LENGTH, secrets);
  const error_description = cleaned(fields.error_description, MAX_DESCRIPTION_LENGTH, secrets);
  return new ProviderErrorResponse({ ...facts, error, error_description });
}

function jsonObject(text: string): object | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : undefined;
  } catch {
    return undefined;
  }
}

/** By the type or by the first character: a captive portal may declare any type. */
const isHtml = (text: string, type: string): boolean =>
  /^(?:text\/html|application\/xhtml\+xml)\b/i.test(type) || text.trimStart().startsWith('<');

/** Control characters, line ends and characters that change the direction of text. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

const lowerHex = (text: string): string => text.replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase());

/**
 * Returns every form in which a text can have been sent: as it is, as in a URL, as in a form (WHATWG), and in
 * Base64. The longest is first.
 */
export function sentForms(text: string): readonly string[] {
  const inForm = formEncoded(text);
  const encoded = [encodeURIComponent(text), inForm, inForm.replaceAll('+', '%20'), text.replaceAll(' ', '+')];
  const base64 = [text, inForm].map((form) => Buffer.from(form).toString('base64'));
  const forms = new Set([text, ...encoded, ...encoded.map(lowerHex), ...base64]);
  return [...forms].toSorted((left, right) => right.length - left.length);
}

/**
 * A provider can repeat the token, code or state that it received, so these are removed before the text is cut to
 * its length.
 */
function cleaned(value: unknown, maxLength: number, secrets: Secrets): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = secrets
    .flatMap((secret) => (secret === undefined || secret === '' ? [] : sentForms(secret)))
    .reduce((rest, secret) => rest.replaceAll(secret, '…'), value)
    .replace(UNSAFE, ' ')
    .trim();
  if (text === '') return undefined;
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}
