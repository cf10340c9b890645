/**
 * What a provider sent at a sign-in, out of the responses that the listener recorded, for a report: claims of a bounded
 * size, and no token.
 */
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Listener, RecordedResponse } from './listener.ts';
import { metadataOf, textIn, type Metadata } from './metadata.ts';
import { short } from './row.ts';
import { defined } from '../../core/defined.ts';

/** A successful response of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
export interface ReceivedTokens {
  /** Absent where there was none, or none that is a JWT. Nothing of it is verified here. */
  readonly idToken?: { readonly header: Metadata; readonly claims: Metadata };
  /** Never shown. */
  readonly refreshToken?: string;
  /** How the request authenticated the client. */
  readonly proof: RecordedResponse['proof'];
  /** Epoch milliseconds. */
  readonly at: number;
}

/**
 * Reads what came with tokens. From then on the listener removes each of them from every text: a hostile provider
 * repeats a token as a claim, so that a report would show it.
 * @param responses those of the token endpoint
 */
export async function tokensIn(
  responses: readonly RecordedResponse[],
  listener: Listener,
): Promise<readonly ReceivedTokens[]> {
  const read = async ({ response, proof, at, status }: RecordedResponse): Promise<ReceivedTokens | undefined> => {
    const body = metadataOf(await response.clone().text(), (text) => text);
    if (body === undefined || status >= 300 || textIn(body, 'access_token') === undefined) return undefined;
    for (const key of ['access_token', 'refresh_token', 'id_token']) listener.hide(textIn(body, key) ?? '');
    const idToken = partsOf(textIn(body, 'id_token') ?? '', listener);
    const refreshToken = textIn(body, 'refresh_token');
    return {
      ...defined({ idToken, refreshToken }),
      proof,
      at,
    };
  };
  const all = await Promise.all(responses.map(read));
  return all.filter((each) => each !== undefined);
}

/** Reads a UserInfo response, which may be signed (OpenID Connect Core §5.3.2). */
export async function userInfoIn({ response }: RecordedResponse, listener: Listener): Promise<Metadata | undefined> {
  const text = await response.clone().text();
  return metadataOf(text, listener.redacted) ?? partsOf(text, listener)?.claims;
}

function partsOf(token: string, { redacted }: Listener): ReceivedTokens['idToken'] {
  try {
    const plain = (part: object): Metadata => metadataOf(JSON.stringify(part), redacted) ?? {};
    return { header: plain(decodeProtectedHeader(token)), claims: plain(decodeJwt(token)) };
  } catch {
    // Encrypted, or no JWT at all. The library's message may quote it.
    return undefined;
  }
}

const MAX_NAME = 60;
const MAX_TEXT = 200;
const MAX_ENTRIES = 50;
const MAX_DEPTH = 4;
/** A JWT: a provider may have put a token of another client into a claim. */
const TOKEN = /\bey[\w-]+\.[\w-]+\.[\w-]*/g;

/** Returns a value for display: each text, list and object cut to a size, and no token in it. */
export function bounded(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return short(value.replaceAll(TOKEN, '…'), MAX_TEXT);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '…';
  if (Array.isArray(value)) {
    const kept = value.slice(0, MAX_ENTRIES).map((each) => bounded(each, depth + 1));
    return value.length > MAX_ENTRIES ? [...kept, `… and ${value.length - MAX_ENTRIES} more`] : kept;
  }
  const entries = Object.entries(value);
  const kept = entries
    .slice(0, MAX_ENTRIES)
    .map(([name, each]) => [short(name.replaceAll(TOKEN, '…'), MAX_NAME), bounded(each, depth + 1)]);
  return Object.fromEntries(
    entries.length > MAX_ENTRIES ? [...kept, ['…', `and ${entries.length - MAX_ENTRIES} more`]] : kept,
  );
}
