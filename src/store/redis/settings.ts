/** What the store is told about Redis. */
import { isIP } from 'node:net';

import type { RedisOptions } from 'ioredis';
import { defined } from '../../core/defined.ts';

/**
 * The Redis part of the configuration, with its files read. Names, passwords and CAs are read at each connection,
 * because they are rotated.
 */
export interface RedisSettings {
  /**
   * `redis://host:port/db`, or `rediss://` for TLS. With Sentinel the host is not dialled: it is the name in the
   * nodes' certificates, and the port is ignored.
   */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM; called at each connection, to Sentinels too. None: the system's CAs. */
  readonly ca?: () => string;
  /** Prefix of every key, in braces. */
  readonly prefix: string;
  /** Number of servers that hold the data. With 3, half of the others must confirm what must not be lost. Default 1. */
  readonly nodes?: 1 | 3;
  readonly sentinel?: SentinelSettings;
}

export interface SentinelSettings {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** The name under which the Sentinels know the primary. */
  readonly master: string;
  /** Of the Sentinels themselves, which have users of their own. None: they require no password. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * Time limit of a command, including the wait for a connection. Longer than any healthy Redis takes, and far
 * shorter than the lease (2 s), so that a failed renewal can be repeated within it.
 */
const COMMAND_TIMEOUT_MS = 250;
/**
 * How long a primary waits for its followers to confirm (WAIT). If a script took all its time, WAIT still has this
 * much, and the reply a little more to arrive.
 */
const WAIT_TIMEOUT_MS = 200;
const WAIT_ANSWER_MS = 50;
const LONGEST_BACK_OFF_MS = 200;

/** How long one piece of work on a connection may take, and which confirmation it needs. */
export interface Limits {
  /** In all, including the wait for a connection. */
  readonly timeoutMs: number;
  /** Followers that must confirm a write; 0: none. */
  readonly acknowledgements: number;
  readonly waitMs: number;
}

export const UNCONFIRMED: Limits = { timeoutMs: COMMAND_TIMEOUT_MS, acknowledgements: 0, waitMs: 0 };

/**
 * Requires that a majority of the nodes holds a confirmed write: the primary and half of the others
 * (docs/revocation-protocol.md#settings).
 */
export const confirmed = (nodes: 1 | 3): Limits =>
  nodes === 1
    ? UNCONFIRMED
    : {
        timeoutMs: COMMAND_TIMEOUT_MS + WAIT_TIMEOUT_MS + WAIT_ANSWER_MS,
        acknowledgements: Math.floor(nodes / 2),
        waitMs: WAIT_TIMEOUT_MS,
      };

/** Reconnects forever: meanwhile the proxy rejects all requests, and it recovers by itself. */
const backOff = (times: number): number =>
  Math.min(10 * 2 ** Math.min(times, 6), LONGEST_BACK_OFF_MS) * (0.75 + Math.random() / 4);

/**
 * Returns ioredis' options without limits for commands and for a silent socket, which client.ts implements.
 * @throws RangeError for a URL that is not Redis'
 */
export function connectionOptions(settings: RedisSettings, name: string): RedisOptions & { replyMapping: 'legacy' } {
  const url = new URL(settings.url);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new RangeError('store.redis.url must begin with redis:// or rediss://');
  }
  return {
    ...serverAddress(settings, url),
    db: Number(url.pathname.slice(1)) || 0,
    ...credentials(settings),
    // Replies of scripts look the same under both protocols.
    replyMapping: 'legacy',
    connectionName: `portcullis-${name}`,
    connectTimeout: COMMAND_TIMEOUT_MS,
    // A command is sent once, immediately, or not at all. A queued one would run after its caller was told that it
    // failed.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: backOff,
    // A primary that became a follower: reconnect to find the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

type Credentials = Pick<RedisOptions, 'username' | 'password' | 'sentinelUsername' | 'sentinelPassword'>;

/**
 * Makes ioredis use the current credentials: it reads these options at each connection, those to Sentinels too.
 * @param options of a connection that was made with `connectionOptions`
 */
export function followCredentials(options: RedisOptions, settings: RedisSettings): void {
  for (const name of ['username', 'password', 'sentinelUsername', 'sentinelPassword'] as const) {
    Object.defineProperty(options, name, { get: () => credentials(settings)[name], enumerable: true });
  }
}

/** Returns the credentials of a new connection, as they are now. */
function credentials(settings: RedisSettings): Credentials {
  const url = new URL(settings.url);
  const { sentinel } = settings;
  const username = settings.username ?? decodeURIComponent(url.username);
  const password = settings.password ?? decodeURIComponent(url.password);
  return {
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...defined({ sentinelUsername: sentinel?.username, sentinelPassword: sentinel?.password }),
  };
}

function serverAddress(settings: RedisSettings, url: URL): RedisOptions {
  const { sentinel } = settings;
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const tls = {
    // ioredis copies this object at each connection, to nodes and Sentinels alike, and so reads the current CA.
    get ca() {
      return settings.ca?.();
    },
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  const secure = url.protocol === 'rediss:';
  if (sentinel === undefined) {
    return { host, port: url.port === '' ? 6379 : Number(url.port), ...(secure ? { tls } : {}) };
  }
  return {
    sentinels: sentinel.addresses.map((address) => ({ ...address })),
    name: sentinel.master,
    role: 'master',
    // Only the configured ones: a Sentinel knows its peers only by bare addresses.
    updateSentinels: false,
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    sentinelRetryStrategy: backOff,
    ...(secure ? { tls, sentinelTLS: tls, enableTLSForSentinelMode: true } : {}),
  };
}
