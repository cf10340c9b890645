/**
 * Limits how much may be open at the same time, at several levels at once: for one account and at one cluster, or of
 * one connection, one address and in all.
 */
import { no, ok } from './result.ts';
import type { Result } from './result.ts';

interface Level<Name extends string> {
  readonly name: Name;
  readonly most: number;
  readonly open: Map<unknown, number>;
}

export class ConcurrencyLimit<Name extends string> {
  readonly most: Readonly<Record<Name, number>>;
  readonly #levels: readonly Level<Name>[];

  /** @param most slots of one key at each level; the first level that is full is the one that is reported */
  constructor(most: Readonly<Record<Name, number>>) {
    this.most = most;
    const names = Object.keys(most) as Name[];
    this.#levels = names.map((name) => ({ name, most: most[name], open: new Map<unknown, number>() }));
  }

  /**
   * Acquires a slot at each level, or none at all.
   * @param keys of each level; undefined: it does not count there
   * @returns a function that releases the slots, or the level that is full; a second call of the function does
   *   nothing
   */
  acquire(keys: Readonly<Record<Name, unknown>>): Result<() => void, Name> {
    for (const { name, most, open } of this.#levels) {
      if (keys[name] !== undefined && (open.get(keys[name]) ?? 0) >= most) return no(name);
    }
    this.#add(keys, 1);
    let held = true;
    return ok(() => {
      if (!held) return;
      held = false;
      this.#add(keys, -1);
    });
  }

  /** Returns how many slots of the key are held at the level. */
  openOf(name: Name, key: unknown): number {
    return this.#levels.find((level) => level.name === name)?.open.get(key) ?? 0;
  }

  /** A count of 0 is not kept, so the maps are as large as what is open. */
  #add(keys: Readonly<Record<Name, unknown>>, change: 1 | -1): void {
    for (const { name, open } of this.#levels) {
      const key = keys[name];
      if (key === undefined) continue;
      const count = (open.get(key) ?? 0) + change;
      if (count > 0) open.set(key, count);
      else open.delete(key);
    }
  }
}
