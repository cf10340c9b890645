/** `access history`: the requests of all users, for admins and auditors. */
import { z } from 'zod';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { requestSchema } from '../access/responses.ts';
import { requestTable } from '../access/texts.ts';
import type { CliContext } from '../context.ts';
import { adminClient } from '../http/admin-client.ts';
import { requestOf } from '../http/call.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { listTables } from '../terminal/list-table.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { filtersOf, readPages } from './pages.ts';
import { parseResponse } from './admin-response.ts';

const pageSchema = z.looseObject({ requests: z.array(requestSchema).readonly(), cursor: z.string().exactOptional() });

/** @throws AppError `forbidden` for a user who is neither an admin nor an auditor */
export async function accessHistory(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  const send = adminClient(context, whichServer(context.environment, options));
  const filters = filtersOf(ADMIN_API.operations.listAccessRequests.command, options);
  const { found, more } = await readPages(filters, async (query) => {
    const { body } = await send(requestOf(ADMIN_API, 'listAccessRequests', { query }));
    const { requests: items, cursor } = parseResponse(pageSchema, body);
    return { items, cursor };
  });
  await printResult(context, options, { requests: found }, () =>
    found.length === 0 ? '' : listTables(context, options, [requestTable(context, options, found, 'queue')]),
  );
  if (more)
    context.notify(`only the first ${found.length} requests are shown; narrow the list with --account or --role`);
  if (found.length === 0) context.notify('there are no access requests');
}
