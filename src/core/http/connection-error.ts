/**
 * Why something of the operator's did not answer, in words for an admin: what happened and where to look. No address, and nothing that the
 * other side has said.
 */

/** Codes of Node and OpenSSL (https://nodejs.org/api/tls.html#x509-certificate-error-codes), of undici, and `ANSWER_TOO_LONG`. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'It refused the connection: nothing listens there.',
  ECONNRESET: 'It cut the connection before it answered.',
  EPIPE: 'It cut the connection before it answered.',
  UND_ERR_SOCKET: 'It cut the connection before it answered.',
  EHOSTUNREACH: 'There is no way to it from here. Check the network and its policies.',
  ENETUNREACH: 'There is no way to it from here. Check the network and its policies.',
  ETIMEDOUT: 'It did not take the connection in time. Check the network and its policies.',
  UND_ERR_CONNECT_TIMEOUT: 'It did not take the connection in time. Check the network and its policies.',
  ENOTFOUND: 'Its name is not known to DNS.',
  EAI_AGAIN: 'Its name could not be looked up: DNS did not answer.',
  EPROTO: 'What answers there does not speak TLS as it should.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'Its certificate is made out to another name.',
  ANSWER_TOO_LONG: 'It answered with more than belongs there.',
  CERT_HAS_EXPIRED: 'Its certificate has ended.',
  CERT_NOT_YET_VALID: 'Its certificate is not valid yet. Check the clocks.',
};

const UNTRUSTED = /CERT|SIGNATURE|ISSUER/;

/** @returns one sentence or two */
export function connectionFault(thrown: unknown): string {
  for (let fault = thrown; fault instanceof Error; fault = fault.cause) {
    const code = 'code' in fault && typeof fault.code === 'string' ? fault.code : '';
    const words = WORDS[code];
    if (words !== undefined) return words;
    if (UNTRUSTED.test(code)) return 'Its certificate is not trusted. Check caFile.';
    if (code.startsWith('ERR_SSL_')) return 'What answers there does not speak TLS as it should.';
    if (code.startsWith('HPE_')) return 'What answers there does not speak HTTP as it should.';
  }
  return 'The connection failed.';
}

/** @param seconds how long was waited */
export const noAnswerWithin = (seconds: number): string => `It did not answer within ${seconds} seconds.`;
