/** One connection to Redis, from its check to its replacement. */
import type { Redis } from 'ioredis';

import type { AppError } from '../../core/errors.ts';
import { timeLimit } from '../../timing/timing.ts';
import { Batches, type Confirmed, type Work, type WorkLimit } from './batches.ts';
import { RedisClient } from './client.ts';
import { checkServer, checkEviction } from './server-check.ts';
import { followCredentials, UNCONFIRMED, type Limits, type RedisSettings } from './settings.ts';
import { TIMED_OUT, toUnavailable, unavailable } from './unavailable.ts';

/**
 * A server that was found unsuitable may be repaired while the connection is open: after this time it is checked
 * again, over a new one.
 */
const RECHECK_MS = 5_000;

export type Report = (error: AppError) => void;

/** One connection, which reconnects forever. Only `run` waits for it to come up, and not for long. */
export class Connection {
  readonly #limits: Limits;
  readonly #batches: Batches;
  readonly #redis: Redis;
  readonly #report: Report;
  readonly #waiting = new Set<() => void>();
  readonly #listeners = new Set<(redis: Redis) => void>();
  #state: 'down' | 'up' | 'refused' | 'closed' = 'down';
  #rejection: AppError | undefined;
  #reported: string | undefined;

  /** @param name shown to operators by CLIENT LIST */
  constructor(settings: RedisSettings, name: string, report: Report, limits: Limits = UNCONFIRMED) {
    this.#report = report;
    this.#limits = limits;
    this.#batches = new Batches(limits, (work) => this.run(work));
    this.#redis = new RedisClient(settings, name, limits);
    this.#redis.on('ready', () => void this.#admit());
    this.#redis.on('close', () => {
      if (this.#state !== 'closed') this.#state = 'down';
    });
    // Open connections stay: Redis authenticates a connection once, and not again when a password is withdrawn.
    followCredentials(this.#redis.options, settings);
    this.#redis.on('error', (error: unknown) => this.#reportOnce(toUnavailable(error)));
  }

  /**
   * Runs commands once the connection is up and its server was found suitable, or fails within `limits.timeoutMs`
   * in all.
   * @throws AppError `store_unavailable`
   */
  async run<T>(work: Work<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const up = Promise.withResolvers<void>();
    let expired = false;
    const begin = (): (() => void) =>
      timeLimit(this.#limits.timeoutMs, () => {
        expired = true;
        this.#waiting.delete(up.resolve);
        late.reject(new Error(TIMED_OUT));
      });
    let stop = begin();
    const limit: WorkLimit = {
      expired: () => expired,
      restart: () => {
        stop();
        stop = begin();
      },
    };
    const attempt = async (): Promise<T> => {
      if (this.#state === 'down') {
        this.#waiting.add(up.resolve);
        await up.promise;
      }
      if (this.#state === 'closed') throw unavailable('store_closed');
      if (this.#rejection !== undefined) throw this.#rejection;
      if (expired) throw new Error(TIMED_OUT);
      return await work(this.#redis, limit);
    };
    try {
      return await Promise.race([attempt(), late.promise]);
    } catch (cause) {
      throw toUnavailable(cause);
    } finally {
      stop();
    }
  }

  /** Whether `confirm` waits for followers. */
  get confirms(): boolean {
    return this.#limits.acknowledgements > 0;
  }

  /**
   * Runs one command in its turn, and reports whether enough followers have confirmed what it wrote. Its time begins
   * with its turn.
   * @throws AppError `store_unavailable` if the command itself got no reply
   */
  async confirm(command: Work<unknown>): Promise<Confirmed> {
    try {
      return await this.#batches.send(command);
    } catch (cause) {
      throw toUnavailable(cause);
    }
  }

  /** Calls the listener each time the connection has come up, including the first time. */
  onUp(listener: (redis: Redis) => void): void {
    this.#listeners.add(listener);
    if (this.#state === 'up') listener(this.#redis);
  }

  /** Reconnects, to find out which server is the primary now. */
  reconnect(): void {
    if (this.#state === 'up' || this.#state === 'refused') this.#redis.disconnect(true);
  }

  close(): void {
    this.#state = 'closed';
    this.#redis.disconnect();
    this.#wakeAll();
  }

  /** Checks the server before any command is sent, at each connect, because it may be another one now. */
  async #admit(): Promise<void> {
    try {
      const info = await this.#redis.info();
      if (this.#state === 'closed' || this.#redis.status !== 'ready') return;
      this.#rejection = checkServer(info);
      this.#state = this.#rejection === undefined ? 'up' : 'refused';
      const error = this.#rejection ?? checkEviction(info);
      if (error === undefined) this.#reported = undefined;
      else this.#reportOnce(error);
      if (this.#state === 'up') for (const listener of this.#listeners) listener(this.#redis);
      this.#wakeAll();
      if (this.#state === 'refused') this.#scheduleRecheck();
    } catch (error) {
      this.#reportOnce(toUnavailable(error));
      if (this.#redis.status !== 'end') this.#redis.disconnect(true);
    }
  }

  /** Nothing is sent to a rejected server, so nothing else would ever end that connection. */
  #scheduleRecheck(): void {
    const timer = setTimeout(() => {
      if (this.#state === 'refused') this.reconnect();
    }, RECHECK_MS);
    timer.unref();
  }

  /** Reports once per kind of failure, not once per attempt to reconnect. */
  #reportOnce(error: AppError): void {
    if (this.#state === 'closed' || error.reason === this.#reported) return;
    this.#reported = error.reason;
    this.#report(error);
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
