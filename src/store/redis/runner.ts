/** Runs the scripts, and begins epochs. */
import { randomBytes } from 'node:crypto';

import type { LogPosition } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Work } from './batches.ts';
import type { Connection } from './connection.ts';
import { list, text } from './reply.ts';
import { newEpoch } from './scripts.ts';
import type { Script } from './lua.ts';
import { unavailable } from './unavailable.ts';

export type Argument = string | number;

/** A position in the log with its chain hash; '' if the hash is not known (then only numbers are compared). */
export interface ChainPosition extends LogPosition {
  readonly hash: string;
}

const NO_POSITION: ChainPosition = { epoch: '', number: 0, hash: '' };

/** Epochs that begin faster than this are an error. */
const ATTEMPTS = 3;

/** A script's reply, and whether enough followers have confirmed what it wrote. */
export interface Written {
  readonly reply: readonly unknown[];
  readonly acknowledged: boolean;
}

/** An epoch that this replica began. */
export interface EpochEvent {
  /** There was no epoch; another server process had written it; or the log was behind what this replica had seen. */
  readonly why: 'empty' | 'regime' | 'rollback';
  /** Whether this replica had been in an epoch before, so that it knew that epoch's locks. */
  readonly knowsLocks: boolean;
}

export interface RunnerOptions {
  readonly base: string;
  readonly clock: Clock;
  /** Largest difference between this clock and the store's, in milliseconds. */
  readonly clockSkewMs: number;
  /** The connection on which epochs are begun, because followers must confirm them. */
  readonly writes: Connection;
  readonly emptyStore: 'init' | 'refuse';
  readonly onEpoch: (event: EpochEvent) => void;
}

/** Runs scripts with the arguments of their head, and begins a new epoch if the head asks for one. */
export class Runner {
  readonly #options: RunnerOptions;
  /**
   * Where this replica knows the log to be. Every script checks it, so that the first call of any replica finds a
   * rolled-back log.
   */
  #known: ChainPosition = NO_POSITION;
  #knowsLocks = false;
  /** By what was seen, so that of many calls that see the same end only one acts. */
  readonly #beginning = new Map<string, Promise<void>>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  setPosition(position: ChainPosition): void {
    this.#known = position;
  }

  /**
   * Records that this replica has a lease in an epoch, and knows its locks: it may begin the next one whatever
   * `emptyStore` says.
   */
  setKnowsLocks(): void {
    this.#knowsLocks = true;
  }

  /**
   * @returns the script's reply, whose first element is its tag. If the epoch was over, a new one has been begun,
   * and the script ran in the new one.
   * @throws AppError `store_unavailable`
   */
  async run(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    const attempt = async (): Promise<Written> => ({
      reply: await this.runOnce(connection, script, args, this.#known),
      acknowledged: false,
    });
    return (await this.#inEpoch(attempt)).reply;
  }

  /** Does the same as `run` on the connection for writes, and reports whether enough followers have confirmed it. */
  async write(script: Script, args: readonly Argument[]): Promise<Written> {
    return await this.#inEpoch(() => this.writeOnce(this.#options.writes, script, args, this.#known));
  }

  /** Runs a script once, from a given position, and leaves the head's reply to the caller. */
  async runOnce(
    connection: Connection,
    script: Script,
    args: readonly Argument[],
    position: ChainPosition,
  ): Promise<readonly unknown[]> {
    return await this.#evaluate(connection, script, this.#from(position, args));
  }

  /** Does the same as `runOnce`, and reports whether enough followers for this connection have confirmed it. */
  async writeOnce(
    connection: Connection,
    script: Script,
    args: readonly Argument[],
    position: ChainPosition,
  ): Promise<Written> {
    return await this.#confirm(connection, script, this.#from(position, args));
  }

  /**
   * @param seen the head's reply, REGIME or ROLLBACK, with the epoch that was seen and where
   * @throws AppError `store_unavailable`, also if too few followers confirmed the new epoch, which then must not
   * be used
   */
  async beginEpoch(seen: readonly unknown[]): Promise<void> {
    const [tag, ...end] = seen.map(text);
    const key = end.join(' ');
    const running = this.#beginning.get(key) ?? this.#begin(tag === 'ROLLBACK' ? 'rollback' : 'regime', end);
    this.#beginning.set(key, running);
    try {
      await running;
      if (this.#known.epoch === end[0]) this.#known = NO_POSITION;
    } finally {
      this.#beginning.delete(key);
    }
  }

  async #begin(tag: 'regime' | 'rollback', end: readonly string[]): Promise<void> {
    const { writes, emptyStore, onEpoch } = this.#options;
    const knowsLocks = this.#knowsLocks;
    const empty = end[0] === '';
    // A store that lost its data has lost its locks, and this process cannot write them back: an attacker whose
    // account was locked could sign in. So the operator decides.
    if (empty && !knowsLocks && emptyStore === 'refuse') throw unavailable('store_empty');
    const id = randomBytes(16).toString('base64url');
    const { reply, acknowledged } = await this.#confirm(writes, newEpoch, [...end, id]);
    if (reply[0] !== 'BEGAN') return;
    onEpoch({ why: empty ? 'empty' : tag, knowsLocks });
    if (!acknowledged) throw unavailable('redis_unacknowledged');
  }

  async #inEpoch(attempt: () => Promise<Written>): Promise<Written> {
    for (let left = ATTEMPTS; left > 0; left -= 1) {
      const outcome = await attempt();
      const tag = outcome.reply[0];
      if (tag !== 'REGIME' && tag !== 'ROLLBACK') return outcome;
      await this.beginEpoch(outcome.reply);
    }
    throw unavailable('epoch_unsettled');
  }

  #from(position: ChainPosition, args: readonly Argument[]): readonly Argument[] {
    const { clock, clockSkewMs } = this.#options;
    return [clock.nowMs(), position.epoch, position.number, position.hash, clockSkewMs, ...args];
  }

  async #evaluate(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    return checkedReply(await connection.run(this.#byHash(script, args)));
  }

  async #confirm(connection: Connection, script: Script, args: readonly Argument[]): Promise<Written> {
    const command = connection.confirms ? this.#byText(script, args) : this.#byHash(script, args);
    const { reply, acknowledged } = await connection.confirm(command);
    return { reply: checkedReply(reply), acknowledged };
  }

  #byHash(script: Script, args: readonly Argument[]): Work<unknown> {
    const { base } = this.#options;
    return async (redis, { expired, restart }) => {
      try {
        return await redis.evalsha(script.sha, 1, base, ...args);
      } catch (error) {
        // A server that was restarted, or whose scripts were flushed, needs the text again.
        if (expired() || !(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        restart();
        return await redis.eval(script.lua, 1, base, ...args);
      }
    };
  }

  /** With the text and not the hash: if the server did not know the script, WAIT would block the second attempt. */
  #byText(script: Script, args: readonly Argument[]): Work<unknown> {
    const { base } = this.#options;
    return async (redis) => await redis.eval(script.lua, 1, base, ...args);
  }
}

/**
 * @throws AppError `store_unavailable`: `clock_off` if the script rejected this replica's clock, `redis_unidentified`
 *   if the server does not report its primary generation
 */
function checkedReply(reply: unknown): readonly unknown[] {
  const parts = list(reply);
  if (parts[0] === 'CLOCK') throw unavailable('clock_off');
  if (parts[0] === 'UNIDENTIFIED') throw unavailable('redis_unidentified');
  return parts;
}
