/** ioredis with the time limits of the store. */
import { Redis, type Command } from 'ioredis';

import { timeLimit } from '../../timing/timing.ts';
import { connectionOptions, type Limits, type RedisSettings } from './settings.ts';
import { TIMED_OUT } from './unavailable.ts';

/** A socket without a reply for this long is dead, or its server has stopped: a new connection recovers sooner. */
const SOCKET_TIMEOUT_MS = 1000;

/**
 * ioredis with the time limits of timing.ts. The time limits of ioredis itself fire as soon as their timers run,
 * even if the reply has arrived and this process was too busy to read it: an admin would be told that a revocation
 * was not written although it was.
 */
export class RedisClient extends Redis {
  readonly #timeoutMs: number;

  /**
   * @param name shown to operators by CLIENT LIST
   * @throws RangeError for a URL that is not Redis'
   */
  constructor(settings: RedisSettings, name: string, { timeoutMs }: Limits) {
    super(connectionOptions(settings, name));
    this.#timeoutMs = timeoutMs;
  }

  /** Receives every command, including those with which ioredis begins a connection. */
  override sendCommand(command: Command, ...rest: readonly [Parameters<Redis['sendCommand']>[1]?]): unknown {
    // Undefined before the first connection, although its type does not say so.
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
