import { isIP } from 'node:net';

import type { RedisOptions } from 'ioredis';

/** The redis part of the configuration, with its files read. Names, passwords and authorities are read at each connection: they are rotated. */
export interface RedisSettings {
  /**
   * `redis://host:port/db`, or `rediss://` for TLS. With Sentinel the host is not dialled: it is the name that the nodes' certificates
   * carry, and the port says nothing.
   */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM; called at each connection, to Sentinels too. None: the system's authorities. */
  readonly ca?: () => string;
  /** Of every key, in braces. */
  readonly prefix: string;
  /** Servers that hold the data: with 3, half of the others must confirm what may not be forgotten. Default 1. */
  readonly nodes?: 1 | 3;
  readonly sentinel?: SentinelSettings;
}

export interface SentinelSettings {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** The name under which they know the master. */
  readonly master: string;
  /** Of the Sentinels themselves, which have users of their own. None: they ask for no password. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * A command, waiting for a connection included, has this long. Longer than any healthy Redis takes, and far shorter than the
 * lease (2 s), so that a renewal that fails can be tried again within it.
 */
const COMMAND_TIMEOUT_MS = 250;
/**
 * How long a master waits for its followers to confirm (WAIT). A script that took its whole time leaves WAIT this much, and the answer some
 * more to arrive in.
 */
const WAIT_TIMEOUT_MS = 200;
const WAIT_ANSWER_MS = 50;
const LONGEST_BACK_OFF_MS = 200;

/** How long one piece of work on a connection may take, and what has to confirm it. */
export interface Limits {
  /** In all, waiting for a connection included. */
  readonly timeoutMs: number;
  /** Followers that must confirm what is written; 0: nothing is asked of them. */
  readonly acknowledgements: number;
  readonly waitMs: number;
}

export const UNCONFIRMED: Limits = { timeoutMs: COMMAND_TIMEOUT_MS, acknowledgements: 0, waitMs: 0 };

/** A majority of the nodes holds what has been confirmed: the master and half of the others (docs/revocation-protocol.md#settings). */
export const confirmed = (nodes: 1 | 3): Limits =>
  nodes === 1
    ? UNCONFIRMED
    : {
        timeoutMs: COMMAND_TIMEOUT_MS + WAIT_TIMEOUT_MS + WAIT_ANSWER_MS,
        acknowledgements: Math.floor(nodes / 2),
        waitMs: WAIT_TIMEOUT_MS,
      };

/** For ever: the gate stays shut meanwhile and opens by itself. */
const backOff = (times: number): number =>
  Math.min(10 * 2 ** Math.min(times, 6), LONGEST_BACK_OFF_MS) * (0.75 + Math.random() / 4);

/**
 * Without limits for commands and for a silent socket: client.ts has those.
 * @throws RangeError for a URL that is not Redis'
 */
export function connectionOptions(settings: RedisSettings, name: string): RedisOptions & { replyMapping: 'legacy' } {
  const url = new URL(settings.url);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new RangeError('store.redis.url must begin with redis:// or rediss://');
  }
  return {
    ...whereTo(settings, url),
    db: Number(url.pathname.slice(1)) || 0,
    ...credentials(settings),
    // Scripts' answers look the same under both protocols.
    replyMapping: 'legacy',
    connectionName: `portcullis-${name}`,
    connectTimeout: COMMAND_TIMEOUT_MS,
    // A command is sent once, now, or not at all: one that waited in a queue would act after its caller was told that it failed.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: backOff,
    // A primary that became a follower: look again who the primary is.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

type Credentials = Pick<RedisOptions, 'username' | 'password' | 'sentinelUsername' | 'sentinelPassword'>;

/**
 * ioredis reads these of its options at each connection, those to Sentinels too: from now on it reads what the settings say then.
 * @param options of a connection that was made with `connectionOptions`
 */
export function followCredentials(options: RedisOptions, settings: RedisSettings): void {
  for (const name of ['username', 'password', 'sentinelUsername', 'sentinelPassword'] as const) {
    Object.defineProperty(options, name, { get: () => credentials(settings)[name], enumerable: true });
  }
}

/** What a new connection says who it is, as it stands now. */
function credentials(settings: RedisSettings): Credentials {
  const url = new URL(settings.url);
  const { sentinel } = settings;
  const username = settings.username ?? decodeURIComponent(url.username);
  const password = settings.password ?? decodeURIComponent(url.password);
  return {
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(sentinel?.username === undefined ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel?.password === undefined ? {} : { sentinelPassword: sentinel.password }),
  };
}

function whereTo(settings: RedisSettings, url: URL): RedisOptions {
  const { sentinel } = settings;
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const tls = {
    // ioredis copies this object at each connection, to nodes and Sentinels alike, and so reads what the settings say then.
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
    // Those that were configured and no others: what a Sentinel says of its peers are bare addresses.
    updateSentinels: false,
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    sentinelRetryStrategy: backOff,
    ...(secure ? { tls, sentinelTLS: tls, enableTLSForSentinelMode: true } : {}),
  };
}
