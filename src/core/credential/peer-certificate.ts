/** The part of a TLS socket that returns the peer's certificate; a plain socket has none of it. */
export interface TlsPeer {
  getPeerCertificate?(): { readonly raw?: Uint8Array } | null;
}

/**
 * Returns the peer's certificate of a connection.
 *
 * On Node 24 `getPeerX509Certificate` never frees the native memory of each client's certificate: several
 * kilobytes, or more if the client chooses. An attacker who connects often would fill the memory, with or without
 * a valid token. `getPeerCertificate` frees it, so we use that.
 * @returns DER form; undefined if there is none
 */
export function peerCertificate(socket: TlsPeer): Uint8Array | undefined {
  return socket.getPeerCertificate?.()?.raw;
}
