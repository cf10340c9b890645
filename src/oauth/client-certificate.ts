/** The client certificate of a connection to the token endpoint, to whose key tokens are bound (RFC 8705). */
import { X509Certificate } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { peerCertificate, type TlsPeer } from '../core/credential/peer-certificate.ts';
import { certificateThumbprint } from '../core/credential/thumbprint.ts';

/**
 * Returns the certificate of this connection. Headers that contain one are ignored: an attacker who can reach the
 * listener could set them.
 */
export function certificateOf(ctx: Pick<KoaContextWithOIDC, 'req'>): X509Certificate | undefined {
  const der = peerCertificate(ctx.req.socket as TlsPeer);
  return der === undefined ? undefined : new X509Certificate(der);
}

/** Returns its thumbprint; undefined without one. */
export function thumbprintOf(ctx: Pick<KoaContextWithOIDC, 'req'>): string | undefined {
  const der = peerCertificate(ctx.req.socket as TlsPeer);
  return der === undefined ? undefined : certificateThumbprint(der);
}
