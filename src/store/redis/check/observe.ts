/** What `portcullis store check` observes of a Redis server. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { TLSSocket } from 'node:tls';

import { no, ok, type Result } from '../../../core/result.ts';
import { timeLimit } from '../../../timing/timing.ts';
import { RedisClient } from '../client.ts';
import { createKeys } from '../keys.ts';
import { CHECK_KEYS } from '../lua-constants.ts';
import { list, number, text } from '../reply.ts';
import { probeCommands, probeServer, probeWrite } from '../scripts.ts';
import { confirmed, UNCONFIRMED, type Limits, type RedisSettings } from '../settings.ts';
import { toUnavailable } from '../unavailable.ts';

/** The commands that `probeCommands` tries. */
export const PROBED_COMMANDS: ReadonlySet<string> = new Set(
  [...probeCommands.lua.matchAll(/try\('([A-Z]+)'/g)].map(([, name = '']) => name),
);

/** Limit of a connection with its attempts, each of which has the limits of the store. */
const CONNECT_LIMIT_MS = 5000;
const ATTEMPTS = 3;
const NEWS_LIMIT_MS = 250;
const TIMED_SCRIPTS = 50;
/** After so many replies that came too late, the next ones say nothing new. */
const ENOUGH_LATE = 5;

/** What a server showed, or in its place the text of the error: of the server, and so not yet safe for a terminal. */
export type Seen<T> = Result<T, string>;

export interface ServerSeen {
  readonly generation: string;
  /** Milliseconds by which the server's clock is ahead of this one. */
  readonly aheadMs: number;
  readonly hasMaxmemory: boolean;
}

export interface Refused {
  readonly command: string;
  readonly error: string;
}

export interface Timed {
  /** Milliseconds, of the replies that came in time. */
  readonly inTime: readonly number[];
  readonly late: number;
}

export interface Observed {
  /** Version of TLS; undefined without TLS. */
  readonly connection: Seen<string | undefined>;
  readonly info: Seen<string>;
  /** Of each of the connections that a replica has to the store. */
  readonly servers: readonly Seen<ServerSeen>[];
  /** Whether the server knows a script by its hash once it has run it. */
  readonly byHash: Seen<boolean>;
  readonly commands: Seen<readonly Refused[]>;
  /** Followers that have confirmed a write; undefined if none has to. */
  readonly confirmations: Seen<number> | undefined;
  /** Whether a message arrived that a script had published. */
  readonly news: Seen<boolean>;
  readonly timed: Timed;
}

/**
 * Does with a server what the store does, on scratch keys.
 * @throws RangeError for settings that cannot work
 */
export async function observe(settings: RedisSettings): Promise<Observed | { readonly connection: Seen<never> }> {
  const limits = confirmed(settings.nodes ?? 1);
  const id = randomBytes(9).toString('base64url');
  const { base } = createKeys(settings.prefix);
  const opened = await Promise.all([UNCONFIRMED, limits, UNCONFIRMED].map((each) => open(settings, each)));
  const [main, writes, news] = opened.flatMap((each) => (each.ok ? [each.value] : []));
  try {
    if (main === undefined || writes === undefined || news === undefined) {
      return { connection: no(opened.map((each) => (each.ok ? '' : each.reason)).find(Boolean) ?? '') };
    }
    const info = await seen(async () => text(await main.info()));
    const servers = [];
    for (const client of [main, writes, news]) servers.push(await seen(() => probe(client, base)));
    const listening = await listen(news, `${base}${CHECK_KEYS}${id}`);
    const commands = await seen(async () => refusedIn(await main.eval(probeCommands.lua, 1, base, id)));
    const byHash = await seen(() => knowsHash(main, base));
    return {
      connection: ok(main.stream instanceof TLSSocket ? (main.stream.getProtocol() ?? undefined) : undefined),
      info,
      servers,
      byHash,
      commands,
      confirmations:
        limits.acknowledgements === 0 ? undefined : await seen(() => confirm(writes, { base, id, limits })),
      news: listening.ok ? ok(await listening.value()) : listening,
      timed: await time(main, base, byHash.ok && byHash.value),
    };
  } finally {
    for (const each of opened) if (each.ok) each.value.disconnect();
  }
}

async function seen<T>(work: () => Promise<T>): Promise<Seen<T>> {
  try {
    return ok(await work());
  } catch (error) {
    return no(errorText(error));
  }
}

/** Returns the message of the server or the system, without the arguments of a command. */
function errorText(error: unknown): string {
  const { cause, reason } = toUnavailable(error);
  if (reason === 'redis_timeout') return 'no reply in time';
  return cause instanceof Error && cause.message !== '' ? cause.message : reason;
}

/** Opens a connection, which is not opened again once it is lost. */
async function open(settings: RedisSettings, limits: Limits): Promise<Seen<RedisClient>> {
  const client = new RedisClient(settings, 'check', limits);
  // A server that is not suitable is observed too.
  Object.assign(client.options, {
    enableReadyCheck: false,
    retryStrategy: (times: number) => (times < ATTEMPTS ? 100 : null),
    reconnectOnError: () => false,
  });
  const outcome = Promise.withResolvers<Seen<RedisClient>>();
  let last: string | undefined;
  client.on('error', (error: unknown) => (last = errorText(error)));
  client.once('ready', () => {
    client.options.retryStrategy = () => null;
    outcome.resolve(ok(client));
  });
  client.once('end', () => outcome.resolve(no(last ?? 'the server closed it')));
  const stop = timeLimit(CONNECT_LIMIT_MS, () => {
    outcome.resolve(no(last ?? 'no reply in time'));
    client.disconnect();
  });
  const result = await outcome.promise;
  stop();
  return result;
}

async function probe(client: RedisClient, base: string): Promise<ServerSeen> {
  const sent = Date.now();
  const reply = list(await client.eval(probeServer.lua, 1, base));
  if (reply[0] !== 'OK') throw new Error('INFO in a script has no run_id or no master_replid');
  const local = (sent + Date.now()) / 2;
  const server = number(reply[2]) * 1000 + number(reply[3]) / 1000;
  return { generation: text(reply[1]), aheadMs: server - local, hasMaxmemory: text(reply[4]) !== '' };
}

async function knowsHash(client: RedisClient, base: string): Promise<boolean> {
  try {
    list(await client.evalsha(probeServer.sha, 1, base));
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return false;
    throw error;
  }
}

function refusedIn(reply: unknown): readonly Refused[] {
  const [tag, ...pairs] = list(reply).map(text);
  const refused = pairs.flatMap((command, index) =>
    index % 2 === 0 ? [{ command: command.toLowerCase(), error: pairs[index + 1] ?? '' }] : [],
  );
  if (tag === 'STOPPED')
    return [...refused, { command: 'the others', error: 'not tried, because no key could be given a TTL' }];
  return refused;
}

async function confirm(
  writes: RedisClient,
  { base, id, limits }: { readonly base: string; readonly id: string; readonly limits: Limits },
): Promise<number> {
  // In one tick, so that nothing comes between the write and its WAIT.
  const [written, count] = await Promise.all([
    writes.eval(probeWrite.lua, 1, base, id),
    writes.wait(limits.acknowledgements, limits.waitMs),
  ]);
  list(written);
  await seen(() => writes.unlink(`${base}${CHECK_KEYS}${id}:g`));
  return number(count);
}

/** @returns a function that waits for a message */
async function listen(news: RedisClient, channel: string): Promise<Seen<() => Promise<boolean>>> {
  const arrived = Promise.withResolvers<boolean>();
  news.on('message', () => arrived.resolve(true));
  return seen(async () => {
    await news.subscribe(channel);
    return async () => {
      const stop = timeLimit(NEWS_LIMIT_MS, () => arrived.resolve(false));
      const result = await arrived.promise;
      stop();
      return result;
    };
  });
}

/** @param byHash whether to send the scripts as the store does once they are known */
async function time(client: RedisClient, base: string, byHash: boolean): Promise<Timed> {
  const inTime: number[] = [];
  let late = 0;
  for (let left = TIMED_SCRIPTS; left > 0 && late < ENOUGH_LATE; left -= 1) {
    const begun = performance.now();
    try {
      await (byHash ? client.evalsha(probeServer.sha, 1, base) : client.eval(probeServer.lua, 1, base));
      inTime.push(performance.now() - begun);
    } catch (error) {
      if (toUnavailable(error).reason !== 'redis_timeout') break;
      late += 1;
    }
  }
  return { inTime, late };
}
