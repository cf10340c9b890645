/** `sessions` of a user who is neither an admin nor an auditor: where they are signed in. */
import type { z } from 'zod';
import { SESSIONS_API } from '../../core/api/sessions-operations.ts';
import type { CliContext } from '../context.ts';
import { requestOf } from '../http/call.ts';
import { sendForOwnSessions } from '../http/own-sessions-api.ts';
import type { CacheEntry } from '../session/cache.ts';
import { idsFor, listTables, timeFor } from '../terminal/list-table.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { parseResponse } from './admin-response.ts';
import { readPages } from './pages.ts';

const PAGE = 50;
const HEADINGS = ['DEVICE', 'FROM', 'USED', 'ENDS', 'CLIENT', 'ID'] as const;
const RANKED = ['DEVICE', 'ID', 'USED', 'FROM', 'ENDS'] as const;

export type OwnSession = z.output<(typeof SESSIONS_API)['schemas']['OwnSession']>;

/** Reads the sessions in which the user of this session is signed in, those that are delegated not among them. */
export function readOwnSessions(
  context: CliContext,
  entry: CacheEntry,
): Promise<{ readonly found: readonly OwnSession[]; readonly more: boolean }> {
  return readPages(new URLSearchParams({ limit: String(PAGE) }), async (query) => {
    const { body } = await sendForOwnSessions(context, entry, requestOf(SESSIONS_API, 'listOwnSessions', { query }));
    const { sessions: items, cursor } = parseResponse(SESSIONS_API.schemas.OwnSessionPage, body);
    return { items, cursor };
  });
}

/** Lists them. */
export async function ownSessions(context: CliContext, entry: CacheEntry, options: OutputOptions): Promise<void> {
  const { found, more } = await readOwnSessions(context, entry);
  await printResult(context, options, { sessions: found }, () => listed(context, options, found));
  if (more) context.notify('there are more of them');
  context.notify(
    'these are your own sessions: you are neither an admin nor an auditor. To end one: portcullis logout --session ID',
  );
}

function listed(context: CliContext, options: OutputOptions, items: readonly OwnSession[]): string {
  const ids = idsFor(
    context,
    options,
    items.map(({ id }) => id),
  );
  const rows = items.map(({ deviceName, self, address, lastUsedAt, expiresAt, client, device }, index) => [
    `${deviceName ?? ''}${self ? ' (this one)' : ''}`.trim(),
    address,
    timeFor(context, lastUsedAt),
    timeFor(context, expiresAt),
    device ? `${client} (by code)` : client,
    ids[index] ?? '',
  ]);
  return listTables(context, options, [{ headings: HEADINGS, rows, ranked: RANKED }]);
}
