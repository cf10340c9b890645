import { isIP } from 'node:net';

import type { RedisOptions } from 'ioredis';

/** The redis part of the configuration, with its files read. */
export interface RedisSettings {
  /** `redis://host:port/db`, or `rediss://` for TLS. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM; none: the system's authorities. */
  readonly ca?: string;
  /** Of every key, in braces. */
  readonly prefix: string;
}

/**
 * A command, waiting for a connection included, has this long. Longer than any healthy Redis takes, and far shorter than the
 * lease (2 s), so that a renewal that fails can be tried again within it.
 */
export const COMMAND_TIMEOUT_MS = 250;
/** A socket that owes an answer for so long is dead or its server stopped: a fresh one recovers sooner. */
const SOCKET_TIMEOUT_MS = 1000;
const LONGEST_BACK_OFF_MS = 200;

/** @throws RangeError for a URL that is not Redis' */
export function connectionOptions(settings: RedisSettings, name: string): RedisOptions & { replyMapping: 'legacy' } {
  const url = new URL(settings.url);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new RangeError('store.redis.url must begin with redis:// or rediss://');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const username = settings.username ?? decodeURIComponent(url.username);
  const password = settings.password ?? decodeURIComponent(url.password);
  const tls = {
    ...(settings.ca === undefined ? {} : { ca: settings.ca }),
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
  return {
    host,
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1)) || 0,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(url.protocol === 'rediss:' ? { tls } : {}),
    // Scripts' answers look the same under both protocols.
    replyMapping: 'legacy',
    connectionName: `portcullis-${name}`,
    connectTimeout: COMMAND_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    // A command is sent once, now, or not at all: one that waited in a queue would act after its caller was told that it failed.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // For ever: the gate stays shut meanwhile and opens by itself.
    retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 6), LONGEST_BACK_OFF_MS) * (0.75 + Math.random() / 4),
    // A primary that became a follower: look again who the primary is.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}
