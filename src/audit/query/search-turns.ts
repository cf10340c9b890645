/**
 * Whose search of the audit log runs next.
 *
 * An attacker with a session of one auditor, or of two, must not take the search from all others: of each reader one
 * search runs at a time, and one that ends gives its place to another reader before the same one has it again.
 */
import { AppError } from '../../core/errors.ts';

/** Searches that wait, of one reader and of all. */
const MOST_OF_ONE = 3;
const MOST = 16;

interface Waiting {
  readonly reader: string;
  begin(): void;
}

export class SearchTurns {
  readonly #places: number;
  readonly #running = new Set<string>();
  #waiting: readonly Waiting[] = [];

  /** @param places searches that run at the same time */
  constructor(places: number) {
    this.#places = places;
  }

  /**
   * Runs a search when it is its turn.
   * @param longestMs how long it waits for that
   * @throws AppError `conflict` where it has waited so long, or too many wait already
   */
  async run<T>(reader: string, longestMs: number, search: () => Promise<T>): Promise<T> {
    await this.#turn(reader, longestMs);
    try {
      return await search();
    } finally {
      this.#running.delete(reader);
      this.#beginNext(reader);
    }
  }

  async #turn(reader: string, longestMs: number): Promise<void> {
    if (this.#mayBegin(reader)) return void this.#running.add(reader);
    const own = this.#waiting.filter((other) => other.reader === reader);
    if (own.length >= MOST_OF_ONE || this.#waiting.length >= MOST) throw tooMany();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { reader, begin: resolve };
    this.#waiting = [...this.#waiting, waiting];
    const timer = setTimeout(() => {
      this.#remove(waiting);
      reject(tooMany());
    }, longestMs);
    await promise.finally(() => clearTimeout(timer));
  }

  #mayBegin(reader: string): boolean {
    return this.#running.size < this.#places && !this.#running.has(reader);
  }

  #beginNext(ended: string): void {
    const able = this.#waiting.filter(({ reader }) => this.#mayBegin(reader));
    const next = able.find(({ reader }) => reader !== ended) ?? able[0];
    if (next === undefined) return;
    this.#remove(next);
    this.#running.add(next.reader);
    next.begin();
  }

  #remove(one: Waiting): void {
    this.#waiting = this.#waiting.filter((other) => other !== one);
  }
}

const tooMany = (): AppError =>
  new AppError('conflict', 'Other searches of the audit log are running. Try again in a few seconds.');
