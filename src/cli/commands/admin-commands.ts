/** `sessions` and `replicas`: the read commands of admins and auditors. */
import { adminClient, callAdmin, type SendAdmin } from '../http/admin-client.ts';
import type { CliContext } from '../context.ts';
import { fromNow } from '../terminal/time.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { table } from '../terminal/table.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { readPages } from './admin-pages.ts';
import type { Session } from './admin-response.ts';

/** The filters and the order of the list, as the admin API spells them. */
const FILTERS = ['account', 'username', 'provider', 'cluster', 'search', 'idle', 'actor', 'ancestor', 'sort'] as const;

export type SessionsOptions = ServerOptions &
  OutputOptions & {
    readonly [F in (typeof FILTERS)[number]]?: string;
  } & {
    /** `--delegated` and `--no-delegated`; undefined: both kinds. */
    readonly delegated?: boolean;
  };

export async function sessions(context: CliContext, options: SessionsOptions): Promise<void> {
  const found = await allSessions(context, adminClient(context, whichServer(context.environment, options)), options);
  await printResult(context, options, { sessions: found }, () => sessionTable(context, found));
  if (found.length === 0) context.notify('there are no sessions');
}

type Column =
  | 'id'
  | 'username'
  | 'lastUsedAt'
  | 'expiresAt'
  | 'account'
  | 'client'
  | 'address'
  | 'deviceName'
  | 'actor';

/** The least important column comes last: a narrow terminal leaves it out. */
const COLUMNS: readonly (readonly [heading: string, column: Column])[] = [
  ['SESSION', 'id'],
  ['USERNAME', 'username'],
  ['LAST USED', 'lastUsedAt'],
  ['EXPIRES', 'expiresAt'],
  ['ACCOUNT', 'account'],
  ['CLIENT', 'client'],
  ['ADDRESS', 'address'],
  ['DEVICE', 'deviceName'],
];

/** Only where there is a delegated session, so that what a script parses stays as it was where there is none. */
const ACTOR: (typeof COLUMNS)[number] = ['ACTOR', 'actor'];

function sessionTable(context: CliContext, found: readonly Session[]): string {
  if (found.length === 0) return '';
  const cell = (session: Session, column: Column): string => {
    if (column === 'actor') return session.delegation?.name ?? '';
    const text = session[column] ?? '';
    if (column === 'client' && session.device) return `${text} (by code)`;
    const isMoment = column === 'lastUsedAt' || column === 'expiresAt';
    return isMoment && context.columns !== undefined ? fromNow(text, context.nowMs()) : text;
  };
  const columns = found.some(({ delegation }) => delegation !== undefined) ? [...COLUMNS, ACTOR] : COLUMNS;
  return table(
    columns.map(([heading]) => heading),
    found.map((session) => columns.map(([, column]) => cell(session, column))),
    context.columns,
  );
}

async function allSessions(context: CliContext, send: SendAdmin, options: SessionsOptions): Promise<Session[]> {
  const filters = new URLSearchParams();
  for (const filter of FILTERS) {
    const value = options[filter];
    if (value !== undefined) filters.set(filter, value);
  }
  if (options.delegated !== undefined) filters.set('delegated', String(options.delegated));
  const { found, more } = await readPages(filters, async (query) => {
    const { sessions: items, ...page } = await callAdmin(send, 'listSessions', { query });
    return { items, ...page };
  });
  if (more) {
    context.notify(
      `only the first ${found.length} sessions are shown; narrow the list with --search, --account or --idle`,
    );
  }
  return found;
}

export async function replicas(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  const send = adminClient(context, whichServer(context.environment, options));
  const { replicas: found } = await callAdmin(send, 'listReplicas');
  await printResult(context, options, { replicas: found }, () =>
    table(
      ['REPLICA', 'STATE', 'SEEN MS AGO', 'LAST ENTRY', 'STREAMS CUT', 'INCARNATION'],
      found.map((replica) => [
        `${replica.id}${replica.self ? ' (answers)' : ''}`,
        replica.state,
        ...[replica.seenMsAgo, replica.number, replica.streamsCut].map((figure) => String(Math.round(figure))),
        replica.incarnation.slice(0, 8),
      ]),
      context.columns,
    ),
  );
}
