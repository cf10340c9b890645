/** The client certificate of a connection to the token endpoint, to whose key tokens are bound (RFC 8705). */
import { X509Certificate } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { peerCertificate, type TlsPeer } from '../core/credential/peer-certificate.ts';

/**
 * Returns the certificate of this connection. Headers that contain one are ignored: an attacker who can reach the
 * listener could set them.
 */
export function certificateOf(ctx: Pick<KoaContextWithOIDC, 'req'>): X509Certificate | undefined {
  const der = peerCertificate(ctx.req.socket as TlsPeer);
  return der === undefined ? undefined : new X509Certificate(der);
}

/** SHA-256, base64url (RFC 8705 §3.1). */
export function certificateThumbprint(certificate: X509Certificate | undefined): string | undefined {
  return certificate === undefined
    ? undefined
    : Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
}
