/** The thumbprint of a certificate (RFC 8705 §3.1), to which tokens and sessions are bound. */
import { createHash } from 'node:crypto';

/** Returns `x5t#S256`: SHA-256 in base64url. @param der the certificate */
export const certificateThumbprint = (der: Uint8Array): string => createHash('sha256').update(der).digest('base64url');

/** True for the one spelling that base64url has for a SHA-256: another one of the same bytes would pass for another key. */
export function isThumbprint(text: string): boolean {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === 32 && bytes.toString('base64url') === text;
}
