/**
 * Explains to an admin why an operator's component did not respond: what happened and where to look. Without
 * addresses, and without text from the other side.
 */

/**
 * Codes of Node and OpenSSL (https://nodejs.org/api/tls.html#x509-certificate-error-codes), of undici, and
 * `ANSWER_TOO_LONG`.
 */
const MESSAGES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'It refused the connection: nothing listens there.',
  ECONNRESET: 'It closed the connection before it responded.',
  EPIPE: 'It closed the connection before it responded.',
  UND_ERR_SOCKET: 'It closed the connection before it responded.',
  EHOSTUNREACH: 'There is no network route to it. Check the network and its policies.',
  ENETUNREACH: 'There is no network route to it. Check the network and its policies.',
  ETIMEDOUT: 'It did not accept the connection in time. Check the network and its policies.',
  UND_ERR_CONNECT_TIMEOUT: 'It did not accept the connection in time. Check the network and its policies.',
  ENOTFOUND: 'Its name is not known to DNS.',
  EAI_AGAIN: 'Its name could not be looked up: DNS did not respond.',
  EPROTO: 'The server at this address does not speak valid TLS.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'Its certificate is for another name.',
  ANSWER_TOO_LONG: 'Its response is too long.',
  CERT_HAS_EXPIRED: 'Its certificate has expired.',
  CERT_NOT_YET_VALID: 'Its certificate is not valid yet. Check the clocks.',
};

const UNTRUSTED = /CERT|SIGNATURE|ISSUER/;

/** @returns one or two sentences */
export function connectionError(thrown: unknown): string {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    const message = MESSAGES[code];
    if (message !== undefined) return message;
    if (UNTRUSTED.test(code)) return 'Its certificate is not trusted. Check caFile.';
    if (code.startsWith('ERR_SSL_')) return 'The server at this address does not speak valid TLS.';
    if (code.startsWith('HPE_')) return 'The server at this address does not speak valid HTTP.';
  }
  return 'The connection failed.';
}

/** @param seconds the time limit */
export const noResponseWithin = (seconds: number): string => `It did not respond within ${seconds} seconds.`;
