/** `delegations` and `logout --session`: the sessions that were delegated, and the end of one, or of another one of the user. */
import { DELEGATIONS_API } from '../../core/api/delegations-operations.ts';
import { SESSIONS_API } from '../../core/api/sessions-operations.ts';
import { revocationResultSchema } from '../../core/api/responses.ts';
import { DELEGATIONS_PAGE, delegationsSchema, type ListedDelegation } from '../delegation/responses.ts';
import { cliError, notProven } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { requestOf } from '../http/call.ts';
import { sendForOwnSessions } from '../http/own-sessions-api.ts';
import { locateEntry, type CacheEntry } from '../session/cache.ts';
import { wholeSessionId } from '../session/session-id.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { describeReceipt } from '../terminal/receipt.ts';
import { idsFor, listTables, timeFor } from '../terminal/list-table.ts';
import { readOwnSessions } from './own-sessions-command.ts';
import { readPages } from './pages.ts';
import { parseResponse } from './admin-response.ts';

const LIST = 'portcullis delegations lists those that were delegated, portcullis sessions the others';

/** Lists those beneath the session of this command. */
export async function delegations(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  const entry = locateEntry(context.environment.cacheDir, whichServer(context.environment, options));
  const { found, more } = await readDelegations(context, entry);
  const text = (): string => (found.length === 0 ? '' : listed(context, options, found));
  await printResult(context, options, { delegations: found }, text);
  if (more) context.notify('there are more of them');
  if (found.length === 0) {
    context.notify('nothing is delegated; to delegate: portcullis delegate --read-only --for 30m -- COMMAND');
  }
}

function readDelegations(
  context: CliContext,
  entry: CacheEntry,
): Promise<{ readonly found: readonly ListedDelegation[]; readonly more: boolean }> {
  return readPages(new URLSearchParams({ limit: String(DELEGATIONS_PAGE) }), async (query) => {
    const { body } = await sendForOwnSessions(context, entry, requestOf(DELEGATIONS_API, 'listDelegations', { query }));
    const { delegations: items, cursor } = parseResponse(delegationsSchema, body);
    return { items, cursor };
  });
}

const HEADINGS = ['ID', 'NAME', 'CLUSTERS', 'MAY', 'ENDS', 'USED', 'LAST REQUEST'] as const;
const RANKED = ['ID', 'NAME', 'MAY', 'ENDS', 'LAST REQUEST', 'USED'] as const;

function listed(context: CliContext, options: OutputOptions, items: readonly ListedDelegation[]): string {
  const ids = idsFor(
    context,
    options,
    items.map(({ id }) => id),
  );
  const rows = items.map((item, index) => [
    ids[index] ?? '',
    item.name,
    item.clusters.join(','),
    item.rights,
    timeFor(context, item.expiresAt),
    timeFor(context, item.lastUsedAt),
    lastRequest(item),
  ]);
  return listTables(context, options, [{ headings: HEADINGS, rows, ranked: RANKED }]);
}

function lastRequest({ recent: [last] }: ListedDelegation): string {
  if (last === undefined) return '';
  const { verb, resource, namespace, name, uri, code, open } = last;
  const object = [namespace, name].filter((part) => part !== undefined).join('/');
  const what = resource === undefined ? uri : [resource, ...(object === '' ? [] : [object])].join(' ');
  return `${verb} ${what}: ${open === true ? 'open' : code}`;
}

/**
 * Ends one, with whatever is beneath it, and shows the receipt.
 * @param given its id, or the first eight characters of it or more
 * @throws AppError `conflict` when it is written but not proven: a script must not take that for done
 */
export async function endSession(
  context: CliContext,
  given: string,
  options: ServerOptions & OutputOptions,
): Promise<void> {
  if (!/^[\w.~-]{1,128}…?$/.test(given)) throw cliError('bad_request', 'This is no id of a session.', LIST);
  const entry = locateEntry(context.environment.cacheDir, whichServer(context.environment, options));
  const isDelegated = entry.server.delegated !== undefined;
  const own = isDelegated ? { found: [], more: false } : await readOwnSessions(context, entry);
  const id = await wholeSessionId(given, {
    list: async () => {
      const { found, more } = await readDelegations(context, entry);
      const delegated = found.map((one) => ({ id: one.id, what: `${one.name}, ${one.rights}` }));
      const others = own.found.map((one) => ({ id: one.id, what: one.deviceName ?? one.address }));
      return { found: [...delegated, ...others], more: more || own.more };
    },
    next: LIST,
  });
  const end = own.found.some((one) => one.id === id)
    ? requestOf(SESSIONS_API, 'endOwnSession', { params: { id } })
    : requestOf(DELEGATIONS_API, 'endDelegation', { params: { id } });
  const { body } = await sendForOwnSessions(context, entry, end);
  const receipt = parseResponse(revocationResultSchema, body);
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns));
  if (receipt.complete) return;
  const next =
    'a missing replica rejects every request once its lease has lapsed; portcullis delegations shows what is left';
  throw notProven(receipt.missing ?? [], next);
}
