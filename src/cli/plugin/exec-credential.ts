/**
 * The credential that kubectl reads from stdout.
 * @see https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
 */
import type { ExecVersion } from '../environment.ts';
import { reportedExpiryMs, type Binding, type CachedToken } from '../session/session.ts';

/**
 * Returns ExecCredential as one line: token and certificate, presented together because the token is bound to the
 * certificate. Both versions have the same fields.
 */
export function execCredential(token: CachedToken, binding: Binding, version: ExecVersion = 'v1'): string {
  const credential = {
    kind: 'ExecCredential',
    apiVersion: `client.authentication.k8s.io/${version}`,
    status: {
      token: token.token,
      clientCertificateData: binding.certificate,
      clientKeyData: binding.privateKey,
      expirationTimestamp: `${new Date(reportedExpiryMs(token)).toISOString().slice(0, 19)}Z`,
    },
  };
  return `${JSON.stringify(credential)}\n`;
}
