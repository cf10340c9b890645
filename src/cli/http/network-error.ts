/** Why there was no response: what happened, and what to do about it. */
import type { AppError } from '../../core/errors.ts';
import { unreadableCertFile } from './certificate-authorities.ts';
import type { NetworkEnvironment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';
import { codeOf } from '../session/private-files.ts';

/** How the request was sent. */
export interface ConnectionContext {
  readonly network: NetworkEnvironment;
  readonly proxy: URL | undefined;
  /**
   * Whether one CA alone may sign the server's certificate: the one of `--ca-file`, or the one that the server
   * named at sign-in.
   */
  readonly pinned: boolean;
  /** Whether the server is known from a sign-in. */
  readonly signedIn: boolean;
  /** Seconds until the time limit, where it was reached. */
  readonly waited?: number;
}

/** Codes of Node and OpenSSL: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const UNTRUSTED = /CERT|SIGNATURE|ISSUER|ALTNAME/;
const CLOCK = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED']);

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'no server listens there',
  ECONNRESET: 'the connection was closed before a response arrived',
  EPIPE: 'the connection was closed before a response arrived',
  EHOSTUNREACH: 'there is no route to it from this network',
  ENETUNREACH: 'there is no route to it from this network',
  ETIMEDOUT: 'it does not accept the connection',
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'names cannot be resolved at the moment',
  ABORT_ERR: 'no response in time',
  EPROTO: 'the server there does not speak TLS correctly',
};

const staying = (message: string, { signedIn }: ConnectionContext): string =>
  signedIn ? `${message}; you stay signed in` : message;

export function unreachable(url: URL, cause: unknown, context: ConnectionContext): AppError {
  const code = codeOf(cause) ?? '';
  if (context.waited === undefined && UNTRUSTED.test(code)) return untrusted(url, { code, cause }, context);
  const [why, next] = whyOf(code, context);
  return cliError('upstream_unavailable', `${url.host} cannot be reached: ${why}.`, next, {
    reason: 'server_unreachable',
    cause,
  });
}

function whyOf(code: string, context: ConnectionContext): readonly [why: string, next: string] {
  const tryAgain = staying('check the network or VPN and try again', context);
  if (context.waited !== undefined) return [`no complete response within ${context.waited} seconds`, tryAgain];
  if (code.startsWith('HPE_')) {
    return [`the server there does not speak HTTP correctly (${code})`, 'check the address and its port'];
  }
  const tls = code === 'EPROTO' || code.startsWith('ERR_SSL_');
  const why = WHY[tls ? 'EPROTO' : code] ?? 'the connection failed';
  const message = `${why} (${plainText(code, 60) || 'no code'})`;
  if (tls) return [message, 'check the address and its port, and whether a proxy is in between'];
  if (code !== 'ENOTFOUND') return [message, tryAgain];
  return [message, staying('check the spelling of the address, and the network or VPN', context)];
}

function untrusted(
  url: URL,
  { code, cause }: { readonly code: string; readonly cause: unknown },
  context: ConnectionContext,
): AppError {
  const what = `The certificate of ${url.host} is not trusted here (${code})${detailOf(code, context)}.`;
  return cliError('upstream_unavailable', what, nextOf(url, code, context), { reason: 'server_untrusted', cause });
}

function detailOf(code: string, { network }: ConnectionContext): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return ': it is for another name';
  if (CLOCK.has(code)) return `: this machine's clock says ${new Date().toISOString().slice(0, 16)}Z`;
  const unread = unreadableCertFile(network);
  return unread === undefined ? '' : `; SSL_CERT_FILE names ${plainText(unread)}, which cannot be read`;
}

function nextOf(url: URL, code: string, { proxy, pinned, signedIn }: ConnectionContext): string {
  if (CLOCK.has(code)) return "if that is wrong, set this machine's clock; else tell your platform team";
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'check the address; if it is right, tell your platform team';
  // A proxy that opens TLS presents its own certificate; a session's certificate would not get through it anyway.
  if (proxy !== undefined && pinned) {
    return `if the proxy ${proxy.host} inspects TLS connections, have ${url.hostname} excluded from that, or add it to NO_PROXY`;
  }
  if (signedIn) return 'if its CA was renewed, sign in again with portcullis login; else ask your platform team';
  return 'install the CA that signed it, or give --ca-file, or name it in SSL_CERT_FILE';
}
