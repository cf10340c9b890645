/** Requests to the admin API by the cached session of a user, or by the token of a workload. */
import { resolve } from 'node:path';
import type { CliContext } from '../context.ts';
import { locateEntry, type Server } from '../session/cache.ts';
import { sendAdminRequest, sendAdminRequestAs, type AdminRequest } from './admin-api.ts';
import type { HttpResponse } from './http-client.ts';

/**
 * Returns a function that sends a request.
 * @param tokenFile a workload's token; undefined: the user's session
 */
export function adminClient(
  context: CliContext,
  server: Server,
  tokenFile: string | undefined,
): (request: AdminRequest) => Promise<HttpResponse> {
  if (tokenFile === undefined) {
    const entry = locateEntry(context.environment.cacheDir, server);
    return (request) => sendAdminRequest(context, entry, request);
  }
  return async (request) => {
    const { adminCredential } = await import('../plugin/workload-token.ts');
    const workload = { server, tokenFile: resolve(tokenFile) };
    const credential = (rejected?: string) => adminCredential(context, workload, rejected);
    return sendAdminRequestAs(context, server.url, credential, request);
  };
}
