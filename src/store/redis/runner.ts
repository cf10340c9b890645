import { randomBytes } from 'node:crypto';

import type { LogPosition } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Connection } from './connection.ts';
import { list, text } from './reply.ts';
import { newEpoch } from './scripts/epoch.ts';
import type { Script } from './scripts/head.ts';
import { unavailable } from './unavailable.ts';

export type Argument = string | number;

/** A place in the log with its chain hash; '' where the hash is not known (only numbers are compared then). */
export interface ChainPlace extends LogPosition {
  readonly hash: string;
}

const NOWHERE: ChainPlace = { epoch: '', number: 0, hash: '' };

/** Epochs that begin faster than this are a fault. */
const ATTEMPTS = 3;

/** A script's answer, and whether enough followers hold what it wrote. */
export interface Written {
  readonly reply: readonly unknown[];
  readonly acknowledged: boolean;
}

/** An epoch that this replica began. */
export interface EpochEvent {
  /** No epoch was there; another server process had written it; or the log was behind what this replica had seen. */
  readonly why: 'empty' | 'regime' | 'rollback';
  /** Whether this replica had been in an epoch before, so that it knew the locks of that one. */
  readonly survivor: boolean;
}

export interface RunnerOptions {
  readonly base: string;
  readonly clock: Clock;
  /** By how many milliseconds the clock may be off the store's. */
  readonly clockSkewMs: number;
  /** Where epochs are begun: followers must confirm them. */
  readonly writes: Connection;
  readonly emptyStore: 'init' | 'refuse';
  readonly onEpoch: (event: EpochEvent) => void;
}

/** Runs scripts with their head's arguments, and begins a new epoch where the head asks for one. */
export class Runner {
  readonly #options: RunnerOptions;
  /** Where this replica knows the log to be: every script checks it, so that a rolled-back log is seen by whoever comes first. */
  #known: ChainPlace = NOWHERE;
  #survivor = false;
  /** By what was seen, so that of many calls that see the same end one acts. */
  readonly #beginning = new Map<string, Promise<void>>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  know(place: ChainPlace): void {
    this.#known = place;
  }

  /** This replica has a lease in an epoch, and knows its locks: it may begin the next one whatever `emptyStore` says. */
  survive(): void {
    this.#survivor = true;
  }

  /**
   * @returns the script's answer, whose first element is its own tag. An epoch that was over has been replaced meanwhile, and the
   *   script ran in the new one.
   * @throws AppError `store_unavailable`
   */
  async run(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    const attempt = async (): Promise<Written> => ({
      reply: await this.runOnce(connection, script, args, this.#known),
      acknowledged: false,
    });
    return (await this.#inEpoch(attempt)).reply;
  }

  /** As `run`, on the connection for writes, and says whether enough followers have confirmed it. */
  async write(script: Script, args: readonly Argument[]): Promise<Written> {
    return await this.#inEpoch(() => this.writeOnce(this.#options.writes, script, args, this.#known));
  }

  /** Once, from a given place, without looking at what the head says. */
  async runOnce(
    connection: Connection,
    script: Script,
    args: readonly Argument[],
    place: ChainPlace,
  ): Promise<readonly unknown[]> {
    return await this.#evaluate(connection, script, this.#from(place, args));
  }

  /** As `runOnce`, and says whether as many followers have confirmed it as the connection asks for. */
  async writeOnce(
    connection: Connection,
    script: Script,
    args: readonly Argument[],
    place: ChainPlace,
  ): Promise<Written> {
    return await this.#confirm(connection, script, this.#from(place, args));
  }

  /**
   * @param seen the head's answer, REGIME or ROLLBACK, with the epoch that was seen and where
   * @throws AppError `store_unavailable`, also where too few followers confirmed the new epoch: nothing may be built on it
   */
  async beginEpoch(seen: readonly unknown[]): Promise<void> {
    const [tag, ...end] = seen.map(text);
    const key = end.join(' ');
    const running = this.#beginning.get(key) ?? this.#begin(tag === 'ROLLBACK' ? 'rollback' : 'regime', end);
    this.#beginning.set(key, running);
    try {
      await running;
      if (this.#known.epoch === end[0]) this.#known = NOWHERE;
    } finally {
      this.#beginning.delete(key);
    }
  }

  async #begin(tag: 'regime' | 'rollback', end: readonly string[]): Promise<void> {
    const { writes, emptyStore, onEpoch } = this.#options;
    const survivor = this.#survivor;
    const empty = end[0] === '';
    // Threat: a store that was emptied has forgotten its locks, and nobody here can write them back.
    if (empty && !survivor && emptyStore === 'refuse') throw unavailable('store_empty');
    const id = randomBytes(16).toString('base64url');
    const { reply, acknowledged } = await this.#confirm(writes, newEpoch, [...end, id]);
    if (reply[0] !== 'BEGAN') return;
    onEpoch({ why: empty ? 'empty' : tag, survivor });
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

  #from(place: ChainPlace, args: readonly Argument[]): readonly Argument[] {
    const { clock, clockSkewMs } = this.#options;
    return [clock.now(), place.epoch, place.number, place.hash, clockSkewMs, ...args];
  }

  async #evaluate(connection: Connection, script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    const { base } = this.#options;
    const reply = await connection.run(async (redis, { expired, beginAgain }) => {
      try {
        return await redis.evalsha(script.sha, 1, base, ...args);
      } catch (error) {
        // A server that was restarted, or whose scripts were flushed, takes the text again.
        if (expired() || !(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        beginAgain();
        return await redis.eval(script.lua, 1, base, ...args);
      }
    });
    return answer(reply);
  }

  /** With its text: behind a script that the server does not know, WAIT would hold up the second attempt. */
  async #confirm(connection: Connection, script: Script, args: readonly Argument[]): Promise<Written> {
    const { base } = this.#options;
    if (!connection.confirms) return { reply: await this.#evaluate(connection, script, args), acknowledged: true };
    const { reply, acknowledged } = await connection.confirm((redis) => redis.eval(script.lua, 1, base, ...args));
    return { reply: answer(reply), acknowledged };
  }
}

/** @throws AppError `store_unavailable`, `clock_off` where the script served us nothing for that */
function answer(reply: unknown): readonly unknown[] {
  const parts = list(reply);
  if (parts[0] === 'CLOCK') throw unavailable('clock_off');
  return parts;
}
