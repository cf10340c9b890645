import type { Redis } from 'ioredis';

import type { AppError } from '../../core/errors.ts';
import { timeLimit } from '../../timing/timing.ts';
import { Batches, type Command, type Confirmed } from './batches.ts';
import { RedisClient } from './client.ts';
import { judgeServer, judgeUpkeep } from './server-check.ts';
import { followCredentials, UNCONFIRMED, type Limits, type RedisSettings } from './settings.ts';
import { TIMED_OUT, toUnavailable, unavailable } from './unavailable.ts';

/** A server that was found unfit may be mended while the connection stands: after so long it is looked at again, by a fresh one. */
const LOOK_AGAIN_MS = 5_000;

export type Report = (error: AppError) => void;

/** The time that a piece of work has. */
interface WorkLimit {
  /** It is over: the caller has been told that it failed, so no further command may be sent. */
  readonly expired: () => boolean;
  /** An answer has come, and a further command takes its own time. */
  readonly beginAgain: () => void;
}

/** One connection, which reconnects for ever. Nothing waits for it to come up but `run`, and that not for long. */
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

  /** @param name seen by operators in CLIENT LIST */
  constructor(settings: RedisSettings, name: string, report: Report, limits: Limits = UNCONFIRMED) {
    this.#report = report;
    this.#limits = limits;
    this.#batches = new Batches(limits);
    this.#redis = new RedisClient(settings, name, limits);
    this.#redis.on('ready', () => void this.#admit());
    this.#redis.on('close', () => {
      if (this.#state !== 'closed') this.#state = 'down';
    });
    // Those that stand stay: Redis asks who somebody is when they come, and not again when a password is taken away.
    followCredentials(this.#redis.options, settings);
    this.#redis.on('error', (error: unknown) => this.#tell(toUnavailable(error)));
  }

  /**
   * Runs commands once the connection is up and its server has been found fit, or fails within `limits.timeoutMs` in all.
   * @throws AppError `store_unavailable`
   */
  async run<T>(work: (redis: Redis, limit: WorkLimit) => Promise<T>): Promise<T> {
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
      beginAgain: () => {
        stop();
        stop = begin();
      },
    };
    const answer = async (): Promise<T> => {
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
      return await Promise.race([answer(), late.promise]);
    } catch (cause) {
      throw toUnavailable(cause);
    } finally {
      stop();
    }
  }

  /** Whether `confirm` asks followers. */
  get confirms(): boolean {
    return this.#limits.acknowledgements > 0;
  }

  /**
   * Runs one command, and says whether as many followers have confirmed what it wrote as this connection asks for.
   * @throws AppError `store_unavailable` where the command itself brought no answer
   */
  async confirm(command: Command): Promise<Confirmed> {
    return await this.run((redis, { expired }) => this.#batches.send(redis, command, expired));
  }

  /** Each time the connection has come up, the first one included. */
  onUp(listener: (redis: Redis) => void): void {
    this.#listeners.add(listener);
    if (this.#state === 'up') listener(this.#redis);
  }

  /** Looks again who the primary is. */
  reconnect(): void {
    if (this.#state === 'up' || this.#state === 'refused') this.#redis.disconnect(true);
  }

  close(): void {
    this.#state = 'closed';
    this.#redis.disconnect();
    this.#wakeAll();
  }

  /** Looks at the server before anything is asked of it, at each connect, because another one may answer by now. */
  async #admit(): Promise<void> {
    try {
      const info = await this.#redis.info();
      if (this.#state === 'closed' || this.#redis.status !== 'ready') return;
      this.#rejection = judgeServer(info);
      this.#state = this.#rejection === undefined ? 'up' : 'refused';
      const fault = this.#rejection ?? judgeUpkeep(info);
      if (fault === undefined) this.#reported = undefined;
      else this.#tell(fault);
      if (this.#state === 'up') for (const listener of this.#listeners) listener(this.#redis);
      this.#wakeAll();
      if (this.#state === 'refused') this.#lookAgain();
    } catch (error) {
      this.#tell(toUnavailable(error));
      if (this.#redis.status !== 'end') this.#redis.disconnect(true);
    }
  }

  /** Nothing is sent to a server that is refused, so nothing else would ever end that connection. */
  #lookAgain(): void {
    const timer = setTimeout(() => {
      if (this.#state === 'refused') this.reconnect();
    }, LOOK_AGAIN_MS);
    timer.unref();
  }

  /** Once per kind of trouble, not once per attempt to reconnect. */
  #tell(error: AppError): void {
    if (this.#state === 'closed' || error.reason === this.#reported) return;
    this.#reported = error.reason;
    this.#report(error);
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
