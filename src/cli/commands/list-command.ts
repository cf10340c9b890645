/** Commands that show a list of the admin API, such as `sessions`, `locks` and `replicas`, by their rows in its table. */
import { z } from 'zod';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import type { CommandList, Operation } from '../../core/api/operation.ts';
import type { replicaSchema } from '../../core/api/responses.ts';
import { AppError } from '../../core/errors.ts';
import type { CliContext } from '../context.ts';
import { adminClient, callAdmin, liveSessionId } from '../http/admin-client.ts';
import { locateEntry } from '../session/cache.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { listTables, timeFor } from '../terminal/list-table.ts';
import type { TableContent } from '../terminal/table.ts';
import { defined } from '../../core/defined.ts';
import type { Session } from './admin-response.ts';
import type { Listed } from './operation-commands.ts';
import { filtersOf, readPages } from './pages.ts';

type ListName = Listed<(typeof ADMIN_API)['operations']>;

type Row = Readonly<Record<string, unknown>>;

/** The cells that are not just the text of a field. */
const CELLS: { readonly [N in ListName]?: (row: never) => Row } = {
  listSessions: ({ client, device, deviceName, delegation }: Session) => ({
    client: device ? `${client} (by code)` : client,
    // An agent has no device of its own, and must not look like its user's laptop.
    deviceName: delegation === undefined ? deviceName : `${delegation.name} (delegated)`,
  }),
  listReplicas: ({ id, self, incarnation }: z.output<typeof replicaSchema>) => ({
    id: `${id}${self ? ' (answers)' : ''}`,
    incarnation: incarnation.slice(0, 8),
  }),
};

/** Shows all sessions; to a user who is neither an admin nor an auditor, their own. */
export async function listSessions(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  try {
    await list(context, 'listSessions', options);
  } catch (error) {
    const server = whichServer(context.environment, options);
    const hasFilters = filtersOf(ADMIN_API.operations.listSessions.command, options).size > 0;
    const isNoAdmin = error instanceof AppError && error.code === 'forbidden' && server.delegated === undefined;
    if (!isNoAdmin || hasFilters) throw error;
    const { ownSessions } = await import('./own-sessions-command.ts');
    await ownSessions(context, locateEntry(context.environment.cacheDir, server), options);
  }
}

/** Shows what an operation lists, all pages of it. */
export async function list(context: CliContext, name: ListName, options: ServerOptions & OutputOptions): Promise<void> {
  const { command, query: parameters }: Operation = ADMIN_API.operations[name];
  const shown: CommandList = ADMIN_API.operations[name].command.list;
  const send = adminClient(context, whichServer(context.environment, options));
  const filters = filtersOf(command, options);
  const ancestor = filters.get('ancestor');
  if (ancestor !== null) filters.set('ancestor', await liveSessionId(send, ancestor));
  const read = async (query: string): Promise<{ readonly items: readonly Row[]; readonly cursor?: string }> => {
    const { [shown.of]: items, missing = [], more: left, ...page } = (await callAdmin(send, name, { query })) as Row;
    for (const replica of missing as readonly string[])
      context.notify(`${replica} did not answer in time: the ${shown.of} that it has are missing`);
    if (typeof left === 'number' && left > 0) context.notify(`${left} more ${shown.of} are not shown`);
    return { items: items as readonly Row[], ...page };
  };
  const hasPages = parameters instanceof z.ZodObject && 'cursor' in parameters.shape;
  const { found, more } = hasPages
    ? await readPages(filters, read)
    : { found: (await read(filters.toString())).items, more: false };
  if (more)
    context.notify(`only the first ${found.length} ${shown.of} are shown; narrow the list with ${shown.narrow}`);
  await printResult(context, options, { [shown.of]: found }, () =>
    found.length === 0
      ? ''
      : listTables(context, options, [
          contentOf(
            shown,
            found.map((row) => ({ ...row, ...momentsOf(shown, row, context), ...cellsOf(name, row) })),
          ),
        ]),
  );
  if (found.length === 0 && shown.none !== undefined) context.notify(shown.none);
}

const cellsOf = (name: ListName, row: Row): Row | undefined => CELLS[name]?.(row as never);

const momentsOf = ({ moments = [] }: CommandList, row: Row, context: CliContext): Row =>
  Object.fromEntries(moments.map((field) => [field, timeFor(context, textOf(row[field]))]));

function textOf(cell: unknown): string {
  if (typeof cell === 'number') return String(Math.round(cell));
  return typeof cell === 'string' ? cell : '';
}

function contentOf({ columns, ranked }: CommandList, rows: readonly Row[]): TableContent {
  const cells = rows.map((row) => Object.values(columns).map((field) => textOf(row[field])));
  return { headings: Object.keys(columns), rows: cells, ...defined({ ranked }) };
}
