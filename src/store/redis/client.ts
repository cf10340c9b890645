import { Redis, type Command } from 'ioredis';

import { timeLimit } from '../../timing/timing.ts';
import { connectionOptions, type Limits, type RedisSettings } from './settings.ts';
import { TIMED_OUT } from './unavailable.ts';

/** A socket that owes an answer for so long is dead or its server stopped: a fresh one recovers sooner. */
const SOCKET_TIMEOUT_MS = 1000;

/**
 * ioredis with the time limits of timing.ts. Its own count as soon as their timers run, also where the answer has arrived and this process was
 * too busy to read it: an admin would be told that a revocation was not written which was.
 */
export class RedisClient extends Redis {
  readonly #timeoutMs: number;

  /**
   * @param name seen by operators in CLIENT LIST
   * @throws RangeError for a URL that is not Redis'
   */
  constructor(settings: RedisSettings, name: string, { timeoutMs }: Limits) {
    super(connectionOptions(settings, name));
    this.#timeoutMs = timeoutMs;
  }

  /** Every command comes through here, those with which ioredis begins a connection too. */
  override sendCommand(command: Command, ...rest: readonly [Parameters<Redis['sendCommand']>[1]?]): unknown {
    // Undefined before the first connection, whatever its type says.
    const socket = this.stream as Redis['stream'] | undefined;
    const before = socket?.bytesRead;
    const stop = timeLimit(this.#timeoutMs, () => {
      command.reject(new Error(TIMED_OUT));
      timeLimit(SOCKET_TIMEOUT_MS - this.#timeoutMs, () => {
        if (socket?.bytesRead === before) socket?.destroy(new Error(TIMED_OUT));
      });
    });
    command.promise.then(stop, stop);
    return super.sendCommand(command, ...rest);
  }
}
