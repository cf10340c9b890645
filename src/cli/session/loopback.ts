/**
 * The redirect target of the browser: a server on a loopback port that accepts one callback (RFC 8252 §7.3, RFC
 * 9207).
 */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { cliError } from '../errors.ts';
import { createServer } from '../http/node-http.ts';
import { plainText } from '../terminal/plain-text.ts';
import { rejectionError } from './rejection.ts';
import { codeOf } from './private-files.ts';

export interface Callback {
  readonly code: string;
  /** Redirects the browser to `location` when the sign-in is done, or shows a small page with the reason. */
  respond(outcome: { readonly location: string } | { readonly problem: string }): Promise<void>;
}

export interface Loopback {
  readonly redirectUri: string;
  /** Waits for the one callback with the right state. Rejects with the server's error, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<Callback>;
  close(): Promise<void>;
}

/** What is expected at the redirect target. */
export interface Expected {
  /** `state` of this sign-in. */
  readonly state: string;
  /** The server that must respond. */
  readonly issuer: string;
  /** The command that waits, for the next step. Absent: `login`. */
  readonly command?: 'login' | 'step-up';
}

/**
 * @throws AppError `internal` when no port is free
 */
export async function listenOnLoopback(expected: Expected): Promise<Loopback> {
  const { promise, resolve, reject } = Promise.withResolvers<Callback>();
  promise.catch(() => undefined); // Possibly no code waits any more.
  let host = '';
  let handled = false;
  const heading = expected.command === 'step-up' ? 'Not confirmed' : 'Not signed in';
  const server = createServer((request, response) => {
    const query = callbackQuery(request, host, expected.state);
    if (query === undefined)
      return sendPage(response, heading, 'This is not the response that portcullis is waiting for.');
    // Only the first callback counts, whatever it contains: a copy of the address must neither replace a code nor
    // hang.
    if (handled) return sendPage(response, heading, 'This sign-in has already been completed.');
    handled = true;
    let outcome: string;
    try {
      outcome = codeFrom(query, expected);
    } catch (error) {
      sendPage(response, heading, error instanceof Error ? error.message : 'The sign-in failed.');
      return reject(error);
    }
    resolve({ code: outcome, respond: (result) => sendOutcome(response, result, heading) });
  });
  const port = await listen(server).catch((cause: unknown) => {
    const next = `use a code instead: portcullis ${expected.command ?? 'login'} --device --server ${expected.issuer}`;
    const why = codeOf(cause) ?? 'unknown error';
    throw cliError('internal', `No port on 127.0.0.1 is free for the browser’s redirect (${why}).`, next, {
      cause,
    });
  });
  host = `127.0.0.1:${port}`;
  return {
    redirectUri: `http://${host}/callback`,
    wait: (signal) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      if (signal.aborted) reject(signal.reason);
      return promise;
    },
    close: () => close(server),
  };
}

/**
 * Returns the query of a request that may be the callback; undefined for anything else, which changes nothing: a
 * page that guesses the port must not end a sign-in. An attacker's page may resolve its name to 127.0.0.1 (DNS
 * rebinding), so only our own Host counts.
 */
function callbackQuery(request: IncomingMessage, host: string, state: string): URLSearchParams | undefined {
  if (request.method !== 'GET' || request.headers.host !== host || request.url === undefined) return undefined;
  if (!isNavigation(request, host)) return undefined;
  if (!URL.canParse(request.url, `http://${host}`)) return undefined;
  const url = new URL(request.url, `http://${host}`);
  const given = Buffer.from(url.searchParams.get('state') ?? '');
  const wanted = Buffer.from(state);
  const same = given.length === wanted.length && timingSafeEqual(given, wanted);
  return url.pathname === '/callback' && same ? url.searchParams : undefined;
}

/**
 * An attacker's page may fetch, embed or post to our port, so only a navigation is accepted. Browsers mark one
 * (Fetch Metadata); those that do not send `Origin` for other requests.
 */
function isNavigation({ headers }: IncomingMessage, host: string): boolean {
  const { origin } = headers;
  if (origin !== undefined && origin !== 'null' && origin !== `http://${host}`) return false;
  if (headers['sec-fetch-site'] === undefined) return true;
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
}

/** Returns the code. @throws AppError `sign_in_refused` with the server's text, or when another server responds */
function codeFrom(query: URLSearchParams, { issuer, command = 'login' }: Expected): string {
  const next = `portcullis ${command} --server ${issuer}`;
  // An attacker may inject the response of another server (mix-up, RFC 9207), so its code must not be redeemed
  // here.
  if (query.get('iss') !== issuer) {
    throw cliError('sign_in_refused', 'The response to the sign-in came from another server.', next, {
      reason: 'issuer_mismatch',
    });
  }
  const error = query.get('error');
  if (error !== null) {
    const description = query.get('error_description') ?? '';
    throw rejectionError(
      description,
      `The sign-in was refused: ${plainText(description) || plainText(error, 60)}`,
      next,
    );
  }
  const code = query.get('code');
  if (!code) throw cliError('sign_in_refused', 'The sign-in returned no code.', next);
  return code;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null) resolve(address.port);
      else reject(new Error('no loopback port'));
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    // Browsers hold connections open for requests that never come.
    server.closeAllConnections();
  });
}

function sendOutcome(
  response: ServerResponse,
  result: { readonly location: string } | { readonly problem: string },
  heading: string,
): Promise<void> {
  if (response.destroyed) return Promise.resolve(); // The user has closed the tab.
  const sent = new Promise<void>((resolve) => {
    response.once('close', resolve);
  });
  if ('problem' in result) sendPage(response, heading, result.problem);
  else response.writeHead(303, { ...HEADERS, location: result.location }).end();
  return sent;
}

/** The code is in this page's address: it must not be cached, or sent on as a referrer. */
const HEADERS = {
  'cache-control': 'no-store',
  connection: 'close',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** Characters of a server's text. */
const LONGEST_LINE = 2000;

/** @param message each line of it is a paragraph */
function sendPage(response: ServerResponse, heading: string, message: string): void {
  const lines = message.split('\n').map((line) => `<p>${escapeHtml(plainText(line, LONGEST_LINE))}</p>`);
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>Portcullis</title><h1>${escapeHtml(heading)}</h1>${lines.join('')}<p>You may close this tab; the terminal shows the next step.</p></html>`;
  response.writeHead(400, { ...HEADERS, 'content-type': 'text/html; charset=utf-8' }).end(page);
}

function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replaceAll(/[&<>"']/g, (character) => names[character] ?? '');
}
