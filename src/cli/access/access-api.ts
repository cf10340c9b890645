/** `/-/access`: access requests of the user and of those they approve for. */
import { ACCESS_API } from '../../core/api/access-operations.ts';
import { AppError } from '../../core/errors.ts';
import type { z } from 'zod';
import { readPages } from '../commands/pages.ts';
import { parseResponse } from '../commands/admin-response.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import type { HttpResponse } from '../http/http-client.ts';
import type { JsonRecord } from '../http/json-shape.ts';
import { requestOf, type Asked } from '../http/call.ts';
import { sendForOwnSessions, type OwnSessionsRequest } from '../http/own-sessions-api.ts';
import { locateEntry, type CacheEntry } from '../session/cache.ts';
import { refuseDelegated } from '../session/delegated.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { plainText } from '../terminal/plain-text.ts';
import { accessSchema, QUEUE_PAGE, requestSchema, type RequestItem } from './responses.ts';

/** Characters of an id that must be given at least: fewer are soon ambiguous. */
const SHORTEST_PREFIX = 4;
/** 128 bits in base64url. */
const WHOLE_ID = 22;

const LIST = 'portcullis access list shows what there is';

const NEXT_STEPS: ReadonlyMap<string, string> = new Map([
  ['request_not_found', LIST],
  ['sign_in_again', 'portcullis login'],
  ['freshness_unprovable', 'sign in with another identity provider: portcullis login'],
  [
    'fresh_sign_in_needed',
    'sign out at your identity provider, then run the command again; or have another approver decide',
  ],
  ['own_request', 'send the link of the request to a colleague who approves it'],
  [
    'requests_of_account_too_many',
    'withdraw one that waits: portcullis access list, then portcullis access end ID; or ask tomorrow',
  ],
]);

/** The server and session of a command about access requests. */
export interface AccessApi {
  readonly context: CliContext;
  readonly entry: CacheEntry;
}

/** @throws AppError `forbidden` in a delegated session: the server is not asked */
export function openAccess(context: CliContext, options: ServerOptions): AccessApi {
  const server = whichServer(context.environment, options);
  refuseDelegated(context, server, 'ask for access or decide about it');
  return { context, entry: locateEntry(context.environment.cacheDir, server) };
}

type AccessOperation = keyof (typeof ACCESS_API)['operations'];

/**
 * Calls an operation of access requests. Where the server wants a fresh sign-in, the user proves themselves, and it is sent
 * again.
 * @param asked.who must authenticate again, for the message
 * @param asked.waits seconds that the server may wait
 */
export async function sendAccess(
  { context, entry }: AccessApi,
  name: AccessOperation,
  { who = 'approvers', waits, ...asked }: Asked & Pick<OwnSessionsRequest, 'waits'> & { readonly who?: string } = {},
): Promise<HttpResponse> {
  const proveFreshly = async (problem: JsonRecord): Promise<void> => {
    const stepUp = await import('../session/step-up.ts');
    await stepUp.proveFreshly(context, entry, problem, who);
  };
  const request = requestOf(ACCESS_API, name, asked);
  const own = waits === undefined ? request : { ...request, waits };
  try {
    return await sendForOwnSessions(context, entry, own, { nextSteps: NEXT_STEPS, proveFreshly });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'not_found' || NOT_FOUND.has(error.reason)) throw error;
    const what = `${entry.server.url} has no access requests.`;
    const next = 'ask your platform team: it is of an earlier version, or its configuration has no roles';
    throw cliError('not_found', what, next, { reason: 'no_access_requests', cause: error });
  }
}

/** The server's own codes: any other 404 is from one that does not know these addresses. */
const NOT_FOUND: ReadonlySet<string> = new Set(['request_not_found', 'role_not_found', 'session_not_found']);

/** Returns what the user may ask for, what they have asked for, and all that waits for them. */
export async function listAccess(api: AccessApi): Promise<z.output<typeof accessSchema>> {
  let first: z.output<typeof accessSchema> | undefined;
  const { found } = await readPages(new URLSearchParams({ limit: String(QUEUE_PAGE) }), async (query) => {
    const { body } = await sendAccess(api, 'listAccess', { query });
    const { cursor, ...page } = parseResponse(accessSchema, body);
    first ??= page;
    return { items: page.queue, cursor };
  });
  return { roles: [], mine: [], ...first, queue: found };
}

/** @param wait seconds until which the server may wait for its state to change */
export async function readRequest(api: AccessApi, id: string, wait?: number): Promise<RequestItem> {
  const waiting = wait === undefined ? {} : { query: { wait: String(wait) }, waits: wait };
  return parseResponse(requestSchema, (await sendAccess(api, 'getAccess', { params: { id }, ...waiting })).body);
}

/** The page of a request. Made here, and not taken from a response: approvers sign in where it leads. */
export const linkOf = ({ entry }: AccessApi, id: string): string => `${entry.server.url}/access/${id}`;

/**
 * Finds the request that a user means.
 * @param given its id, the first characters of it, or its link
 * @throws AppError `bad_request` for one that could be several, `not_found`
 */
export async function findRequest(api: AccessApi, given: string): Promise<RequestItem> {
  const link = linkOf(api, '');
  const id = given.startsWith(link) ? given.slice(link.length) : given.replace(/…$/, '');
  if (!/^[\w-]+$/.test(id) || id.length < SHORTEST_PREFIX) {
    const what = `This is no id of an access request: give ${SHORTEST_PREFIX} characters of it at least, or its link.`;
    throw cliError('bad_request', what, LIST);
  }
  if (id.length >= WHOLE_ID) return readRequest(api, id);
  const { mine, queue } = await listAccess(api);
  const found = new Map([...mine, ...queue].filter((one) => one.id.startsWith(id)).map((one) => [one.id, one]));
  const [first, ...others] = found.values();
  if (first === undefined) throw notFound(api, id);
  if (others.length > 0) throw ambiguous(id, [first, ...others]);
  return first;
}

function notFound({ entry }: AccessApi, id: string): AppError {
  const what = `No access request that ${entry.server.url} shows you begins with ${id}.`;
  return cliError('not_found', what, LIST, { reason: 'request_not_found' });
}

function ambiguous(id: string, found: readonly RequestItem[]): AppError {
  const lines = found.map((one) => `\n  ${one.id}  ${plainText(one.role, 80)}, ${plainText(one.user, 200)}`);
  return cliError('bad_request', `${id} could be several access requests:${lines.join('')}`, 'give more characters', {
    reason: 'request_ambiguous',
  });
}
