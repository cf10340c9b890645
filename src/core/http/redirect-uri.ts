/** The redirect URIs of OAuth clients that users run on their own machines. */

/** The loopback hosts that the authorization server accepts for native clients. */
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

export const REDIRECT_URI =
  'an http URL of localhost, 127.0.0.1 or [::1], such as http://localhost:8000, or an https URL';

/**
 * Returns whether an authorization response may be sent there: nothing that leaves the machine unencrypted, and no
 * private-use scheme, which any program on the same machine can claim (RFC 8252 §8.1).
 */
export function isRedirectUri(value: string): boolean {
  if (!URL.canParse(value) || /[#\s]/.test(value)) return false;
  const { protocol, hostname, username, password } = new URL(value);
  if (username !== '' || password !== '') return false;
  return protocol === (LOOPBACK_HOSTS.has(hostname) ? 'http:' : 'https:');
}

/** By address alone: an attacker who controls the machine's name resolution could lead `localhost` elsewhere (RFC 8252 §8.3). */
const LOOPBACK_CALLBACK = /^http:\/\/(?:127\.0\.0\.1|\[::1\]):([1-9]\d{0,4})\/callback$/;

/**
 * Returns whether it is the loopback address of a program that waits for its browser. Exactly one form, so that nothing that
 * two readers could read differently is ever redirected to.
 */
export const isLoopbackCallback = (value: string): boolean =>
  Number(LOOPBACK_CALLBACK.exec(value)?.[1] ?? Number.NaN) <= 65_535;
