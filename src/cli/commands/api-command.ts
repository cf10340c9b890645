/** `api`: sends one request to the admin API, for scripts. */
import { readFileSync } from 'node:fs';
import { adminClient } from '../http/admin-client.ts';
import { cliError, notProven } from '../errors.ts';
import { stringAt, stringsAt, type JsonRecord } from '../http/json-shape.ts';
import type { AdminRequest } from '../http/admin-api.ts';
import type { CliContext } from '../context.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { plainJson } from '../terminal/plain-text.ts';

export interface ApiOptions extends ServerOptions {
  readonly body?: string;
  readonly paginate?: true;
  readonly tokenFile?: string;
}

/** The most pages that are requested; a page has 50 entries unless the path asks for more. */
const MAX_PAGES = 100;

/** RFC 9110 §15.3.3. */
const ACCEPTED = 202;

/** Stands for the admin API's own address while a path is checked. */
const BASE = 'https://admin.invalid/api/';

/**
 * Sends the request, and prints the response as JSON.
 * @param path below the admin API, such as `/sessions?limit=10`
 * @throws AppError `bad_request` for a body that is no JSON or a path that is none; else by the problem document;
 *   `conflict` after a 202, when the response is printed already
 */
export async function api(
  context: CliContext,
  method: AdminRequest['method'],
  path: string,
  options: ApiOptions,
): Promise<void> {
  const request = requestOf(method, path, options);
  const server = whichServer(context.environment, options);
  const { tokenFile = context.environment.tokenFile } = options;
  const send = adminClient(context, server, tokenFile);
  const { body, status } = await send(request);
  const all = options.paginate === true ? await withFurtherPages(body, request, send) : body;
  // Usernames and user agents come from attackers, who drive terminals by them.
  context.print(`${plainJson(all)}\n`);
  if (options.paginate === true && typeof all['cursor'] === 'string')
    context.notify(`there are more than ${MAX_PAGES} pages: the rest begins at the cursor`);
  // Only a change of the admin API that is not proven yet responds with it.
  if (status !== ACCEPTED) return;
  const id = encodeURIComponent(stringAt(body, 'id') ?? 'ID');
  throw notProven(stringsAt(body, 'missing'), `follow it: portcullis api GET /revocations/${id}`);
}

function requestOf(method: AdminRequest['method'], path: string, { body, paginate }: ApiOptions): AdminRequest {
  const relative = path.replace(/^\//, '');
  // Read as it will be sent: dots, also percent-encoded ones and behind backslashes, would lead to another address.
  const url = /^[a-z][!-~]*$/.test(relative) && URL.canParse(relative, BASE) ? new URL(relative, BASE) : undefined;
  if (url === undefined || url.href !== `${BASE}${relative}` || url.hash !== '')
    throw cliError('bad_request', 'The path is not one below the admin API.', 'give one such as /sessions?limit=10');
  if (/\/audit\/?$/.test(url.pathname))
    throw cliError('bad_request', 'The live audit log is a stream.', 'portcullis audit tail --output json');
  if (/\/events\.jsonl\/?$/.test(url.pathname))
    throw cliError(
      'bad_request',
      'This is a download and no JSON document.',
      'give /audit/events, or use get-token --admin',
    );
  if (paginate === true && method !== 'GET')
    throw cliError('bad_request', 'Only a GET has pages.', 'leave out --paginate');
  return { method, path: `/${relative}`, ...(body === undefined ? {} : { json: jsonOf(body) }) };
}

/** Returns the value of `--body`, which is `-` for stdin. */
function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body === '-' ? readFileSync(0, 'utf8') : body);
  } catch (cause) {
    throw cliError('bad_request', 'The body is not JSON.', 'check --body', { cause });
  }
}

/** Returns the first page with the entries of all further ones. A cursor that is left says that there are more. */
async function withFurtherPages(
  first: JsonRecord,
  request: AdminRequest,
  send: ReturnType<typeof adminClient>,
): Promise<JsonRecord> {
  const name = Object.keys(first).find((key) => Array.isArray(first[key]));
  if (name === undefined) return first;
  const { pathname, searchParams: parameters } = new URL(request.path.slice(1), BASE);
  const resource = pathname.slice(new URL(BASE).pathname.length);
  const entries: unknown[] = [];
  let page = first;
  for (let pages = 1; ; pages += 1) {
    const here: unknown = page[name];
    if (Array.isArray(here)) entries.push(...(here as unknown[]));
    const { cursor } = page;
    if (typeof cursor !== 'string' || pages >= MAX_PAGES) return { ...page, [name]: entries };
    parameters.set('cursor', cursor);
    page = (await send({ ...request, path: `/${resource}?${parameters.toString()}` })).body;
  }
}
