/** `audit tail`: the live audit log of all replicas, for admins and auditors. */
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { AppError } from '../../core/errors.ts';
import { sendAdminRequest } from '../http/admin-api.ts';
import { requestOf } from '../http/call.ts';
import { eventLine } from '../terminal/audit-event-line.ts';
import { serverEvents, type ServerEvent } from '../http/server-sent-events.ts';
import { locateEntry, type CacheEntry } from '../session/cache.ts';
import { parseRecord, stringAt } from '../http/json-shape.ts';
import type { CliContext } from '../context.ts';
import type { OutputOptions } from '../terminal/output.ts';
import { escapeUnsafe } from '../terminal/plain-text.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { defined } from '../../core/defined.ts';
import { filtersOf } from './pages.ts';

type TailOptions = ServerOptions & OutputOptions;

/**
 * The longest silence before the response begins, and later between two events: the server sends a keep-alive every
 * 15 seconds.
 */
const SILENCE_MS = { first: 15_000, later: 45_000 };
const WAIT_MS = { first: 250, longest: 10_000 };

interface Tail {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  readonly path: string;
  readonly show: (event: ServerEvent) => void;
  /** Ends the command without an error. */
  readonly stop: AbortSignal;
  after: string | undefined;
  connected: boolean;
}

/**
 * Shows events until the command is stopped (Ctrl-C, or the reader of stdout closes it).
 * @throws AppError as `sendAdminRequest`; once it was connected, only where another try would not help
 */
export async function auditTail(context: CliContext, options: TailOptions): Promise<void> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  // Not `once`: the file locks' own handler ends the process by the signal where it finds no other listener.
  process.on('SIGINT', end).on('SIGTERM', end);
  process.stdout.on('error', end);
  const tail: Tail = {
    context,
    entry: locateEntry(context.environment.cacheDir, whichServer(context.environment, options)),
    path: pathOf(options),
    show: eventPrinter(context, options),
    stop: stop.signal,
    after: undefined,
    connected: false,
  };
  let waitMs = WAIT_MS.first;
  while (!stop.signal.aborted) {
    const { reached, endedCleanly } = await connection(tail);
    if (stop.signal.aborted) return;
    if (reached) waitMs = WAIT_MS.first;
    if (!endedCleanly) context.notify('the connection was lost; reconnecting, and continuing from the last event');
    await delay(waitMs, undefined, { signal: stop.signal }).catch(() => undefined);
    waitMs = Math.min(waitMs * 2, WAIT_MS.longest);
  }
}

function pathOf(options: TailOptions): string {
  const query = filtersOf(ADMIN_API.operations.tailAudit.command, options).toString();
  return requestOf(ADMIN_API, 'tailAudit', { query }).path;
}

interface Connected {
  /** The server responded. */
  readonly reached: boolean;
  /** The server announced the end: the token expires, or the replica is about to stop. */
  readonly endedCleanly: boolean;
}

/** Reads one connection to its end. */
async function connection(tail: Tail): Promise<Connected> {
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(), SILENCE_MS.first);
  let [reached, endedCleanly] = [false, false];
  const consume = async (stream: AsyncIterable<Buffer>): Promise<void> => {
    if (!tail.connected) tail.context.notify('following the audit log; press Ctrl-C to stop');
    else if (tail.after !== undefined) tail.context.detail('connected again');
    tail.connected = true;
    reached = true;
    for await (const event of serverEvents(withSilenceLimit(stream, silent))) {
      tail.after = event.id ?? tail.after;
      if (event.event === 'end') endedCleanly = true;
      else tail.show(event);
    }
  };
  try {
    const signal = AbortSignal.any([tail.stop, silent.signal]);
    const events = { signal, consume: (stream: AsyncIterable<Buffer>) => (clearTimeout(timer), consume(stream)) };
    const after = defined({ after: tail.after });
    await sendAdminRequest(tail.context, tail.entry, {
      method: 'GET',
      path: tail.path,
      events: { ...events, ...after },
    });
  } catch (error) {
    const isTemporary = error instanceof AppError && error.code === 'upstream_unavailable';
    if (!tail.stop.aborted && !(tail.connected && isTemporary)) throw error;
  } finally {
    clearTimeout(timer);
  }
  return { reached, endedCleanly };
}

/** Gives up a connection on which nothing arrives any more. */
async function* withSilenceLimit(stream: AsyncIterable<Buffer>, silent: AbortController): AsyncGenerator<Buffer> {
  let timer = setTimeout(() => silent.abort(), SILENCE_MS.later);
  try {
    for await (const chunk of stream) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS.later);
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

const GAPS: Readonly<Record<string, string>> = {
  too_old: 'the live audit log does not reach back so far',
  replica_late: 'a replica has not joined the live audit log yet',
  dropped: 'a replica had more events than it could send',
  too_slow: 'this program read them too slowly',
};

function eventPrinter(context: CliContext, { output }: OutputOptions): (event: ServerEvent) => void {
  // Node's own check heeds NO_COLOR.
  const colour = context.columns !== undefined && process.stdout.hasColors();
  return ({ event, data }) => {
    const record = parseRecord(data);
    if (record === undefined) return;
    if (event === 'gap') {
      const why = GAPS[stringAt(record, 'reason') ?? ''] ?? 'the server gives no reason';
      return context.notify(`events may be missing here: ${why}. The files of the audit log have them.`);
    }
    if (event !== 'message') return;
    context.print(`${output === 'json' ? escapeUnsafe(JSON.stringify(record)) : eventLine(record, colour)}\n`);
  };
}
