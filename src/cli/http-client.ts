/**
 * One small HTTP client: JSON in answers, no redirects, bounded in time and size, TLS verified, the session's certificate
 * presented where one is given.
 */
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { getCACertificates } from 'node:tls';
import { fault } from './fault.ts';
import { isRecord, type JsonRecord } from './json-shape.ts';
import { codeOf } from './private-files.ts';
import { isOpenable } from './server-url.ts';
import type { Binding } from './session.ts';
import { USER_AGENT } from './version.ts';

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  /** PEM that vouches for the host; absent: the system's authorities. */
  readonly ca?: string;
  readonly binding?: Binding;
  readonly bearer?: string;
  readonly body?: { readonly form: Readonly<Record<string, string>> } | { readonly json: unknown };
}

export interface HttpAnswer {
  readonly status: number;
  /** Empty where the answer was no JSON object. */
  readonly body: JsonRecord;
}

/**
 * @returns the answer, whatever its status
 * @throws AppError `upstream_unavailable` when there is none: unreachable, not trusted, too slow or too long
 */
export async function ask(ask: Ask): Promise<HttpAnswer> {
  const url = new URL(ask.url);
  if (!isOpenable(url)) throw fault('bad_request', 'Only https addresses, or http on loopback, are asked.');
  try {
    const response = await send(url, ask);
    return { status: response.statusCode ?? 0, body: await readJson(response) };
  } catch (cause) {
    throw unreachable(url, ask, cause);
  }
}

function send(url: URL, ask: Ask): Promise<IncomingMessage> {
  const body = encodeBody(ask);
  const options = {
    method: ask.method,
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: {
      accept: 'application/json, application/problem+json',
      'user-agent': USER_AGENT,
      ...(ask.bearer === undefined ? {} : { authorization: `Bearer ${ask.bearer}` }),
      ...(body === undefined ? {} : { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
    },
  } as const;
  return new Promise((resolve, reject) => {
    const request =
      url.protocol === 'https:'
        ? requestHttps(url, { ...options, ...tlsOptions(ask) }, resolve)
        : requestHttp(url, options, resolve);
    request.on('error', reject).end(body?.text);
  });
}

function tlsOptions(ask: Ask): { ca: string | string[]; cert?: string; key?: string; minVersion: 'TLSv1.2' } {
  // Companies install their authority in the system's store, which Node does not read by itself.
  const ca = ask.ca ?? [...getCACertificates('default'), ...getCACertificates('system')];
  const certificate = ask.binding && { cert: ask.binding.certificate, key: ask.binding.privateKey };
  return { ca, minVersion: 'TLSv1.2', ...certificate };
}

function encodeBody(ask: Ask): { type: string; text: string } | undefined {
  if (ask.body === undefined) return undefined;
  return 'form' in ask.body
    ? { type: 'application/x-www-form-urlencoded', text: new URLSearchParams(ask.body.form).toString() }
    : { type: 'application/json', text: JSON.stringify(ask.body.json) };
}

async function readJson(response: IncomingMessage): Promise<JsonRecord> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) {
      response.destroy();
      throw new Error('the answer is too long');
    }
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

const UNTRUSTED = /CERT|SIGNATURE|ISSUER|ALTNAME/;

function unreachable(url: URL, ask: Ask, cause: unknown): Error {
  const code = codeOf(cause) ?? '';
  if (UNTRUSTED.test(code)) {
    return fault(
      'upstream_unavailable',
      `The certificate of ${url.host} is not trusted here (${code}).`,
      ask.binding === undefined
        ? 'install the authority that signed it, or give --ca-file'
        : 'if its authority was renewed, sign in again with portcullis login; else ask your platform team',
      { reason: 'server_untrusted', cause },
    );
  }
  const why =
    cause instanceof Error && cause.name === 'TimeoutError' ? 'no answer in time' : code || 'connection failed';
  return fault(
    'upstream_unavailable',
    `${url.host} cannot be reached (${why}).`,
    'check the network or VPN and try again; you stay signed in',
    { reason: 'server_unreachable', cause },
  );
}
