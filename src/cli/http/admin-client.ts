/** Requests to the admin API by the cached session of a user, or by the token of a workload. */
import { resolve } from 'node:path';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { defined } from '../../core/defined.ts';
import type { AnswerOf, ApiDescription, Operation } from '../../core/api/operation.ts';
import { parseResponse } from '../commands/admin-response.ts';
import type { CliContext } from '../context.ts';
import { readPages } from '../commands/pages.ts';
import { locateEntry, type Server } from '../session/cache.ts';
import { wholeSessionId } from '../session/session-id.ts';
import { sendAdminRequest, sendAdminRequestAs, type AdminRequest } from './admin-api.ts';
import { requestOf, type Asked } from './call.ts';
import type { HttpResponse } from './http-client.ts';

/** Sends a request to the admin API, with the session of a user or the token of a workload. */
export type SendAdmin = (request: AdminRequest) => Promise<HttpResponse>;

/**
 * Returns a function that sends a request.
 * @param tokenFile a workload's token; absent: the user's session
 */
export function adminClient(context: CliContext, server: Server, tokenFile?: string): SendAdmin {
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

/**
 * Returns the whole id of the live session that an admin or auditor means.
 * @param given a whole id, or the first eight characters of it or more
 * @throws AppError as `wholeSessionId` and `callAdmin`
 */
export const liveSessionId = (send: SendAdmin, given: string): Promise<string> =>
  wholeSessionId(given, {
    list: async (search) => {
      const { found, more } = await readPages(new URLSearchParams({ search }), async (query) => {
        const { sessions: items, cursor } = await callAdmin(send, 'listSessions', { query });
        return { items, cursor };
      });
      return {
        found: found.map(({ id, username, deviceName, delegation, address }) => ({
          id,
          what: [username, delegation?.name ?? deviceName, address].filter((part) => part !== undefined).join(', '),
        })),
        more,
      };
    },
    next: 'portcullis sessions lists the live ones',
  });

type AdminOperations = (typeof ADMIN_API)['operations'];

/**
 * Calls an operation of the admin API.
 * @returns its response, of which a newer server may have sent more
 * @throws AppError `upstream_unavailable` for a response of another shape, otherwise as `send`
 */
export async function callAdmin<N extends keyof AdminOperations>(
  send: SendAdmin,
  name: N,
  { onSignIn, timeoutMs, ...asked }: Asked & Pick<AdminRequest, 'onSignIn' | 'timeoutMs'> = {},
): Promise<AnswerOf<typeof ADMIN_API, AdminOperations[N]>> {
  const { responses }: Operation = ADMIN_API.operations[name];
  const [shape] = Object.values(responses).flatMap(({ schema }) => schema ?? []);
  const schemas: ApiDescription['schemas'] = ADMIN_API.schemas;
  const schema = schemas[shape ?? ''];
  if (schema === undefined) throw new Error(`${name} has no response that could be read`);
  const { body } = await send({ ...requestOf(ADMIN_API, name, asked), ...defined({ onSignIn, timeoutMs }) });
  return parseResponse(schema, body) as AnswerOf<typeof ADMIN_API, AdminOperations[N]>;
}
