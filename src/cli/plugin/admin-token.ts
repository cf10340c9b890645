/** `get-token --admin`: a credential for the admin API, in the form of the exec plugin. */
import { resolve } from 'node:path';
import type { CliContext } from '../context.ts';
import { adminSession } from '../http/admin-api.ts';
import { locateEntry, type Server } from '../session/cache.ts';
import { execCredential } from './exec-credential.ts';

/**
 * Prints a token with the admin audience, and the certificate that it is bound to.
 * @param tokenFile a workload's token; undefined: the user's session
 * @throws AppError `forbidden` for a user or workload without a role; nothing has been written to stdout then
 */
export async function printAdminCredential(
  context: CliContext,
  server: Server,
  tokenFile: string | undefined,
): Promise<void> {
  const { execVersion } = context.environment;
  if (tokenFile === undefined) {
    const { session, token } = await adminSession(context, locateEntry(context.environment.cacheDir, server));
    return context.print(execCredential(token, session.binding, execVersion));
  }
  const { adminToken } = await import('./workload-token.ts');
  const { token, binding } = await adminToken(context, { server, tokenFile: resolve(tokenFile) });
  context.print(execCredential(token, binding, execVersion));
}
