/** The servers of Redis that the replicas of a scenario use; they end with it. */
import { Redis } from 'ioredis';
import {
  startFollowers,
  startRedis,
  startSentinels,
  type RedisServer,
  type Sentinels,
  type StartRedis,
} from '../support/redis.ts';

export type OwnRedis = RedisServer & AsyncDisposable;

const own = (server: RedisServer): OwnRedis =>
  Object.assign(server, { [Symbol.asyncDispose]: (): Promise<void> => server.stop() });

export async function redisServer(options: StartRedis = {}): Promise<OwnRedis> {
  return own(await startRedis(options));
}

export interface Trio extends AsyncDisposable {
  readonly master: RedisServer;
  readonly followers: readonly RedisServer[];
}

/** A master and two followers that have all its data. */
export async function trio(): Promise<Trio> {
  const master = await startRedis();
  const followers = await startFollowers(2, master);
  return {
    master,
    followers,
    async [Symbol.asyncDispose]() {
      await Promise.all([master, ...followers].map((server) => server.stop()));
    },
  };
}

/** Three Sentinels that watch the master. */
export const sentinels = (master: RedisServer): Promise<Sentinels> => startSentinels(master, 3);

/** Says something to a server as its operator would. */
export async function operator<T>(server: { readonly port: number }, say: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host: '127.0.0.1', port: server.port });
  try {
    return await say(redis);
  } finally {
    redis.disconnect();
  }
}
