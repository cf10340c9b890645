/** The part of a TLS socket that shows what its other side has presented; a plain socket has none of it. */
export interface TlsPeer {
  getPeerCertificate?(): { readonly raw?: Uint8Array } | null;
}

/**
 * The certificate that the other side of a connection has presented.
 *
 * Threat: on Node 24 `getPeerX509Certificate` keeps the native memory of each client's certificate for good, several kilobytes of it, more
 * if the client likes. Whoever connects often enough fills the memory, good token or not. `getPeerCertificate` gives it back.
 * @returns DER form; undefined where there is none
 */
export function peerCertificate(socket: TlsPeer): Uint8Array | undefined {
  return socket.getPeerCertificate?.()?.raw;
}
