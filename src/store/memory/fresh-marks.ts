/** Accounts whose next sign-in must be a fresh one, in memory. */
import type { Account } from '../../core/identity/identity.ts';
import type { Clock } from '../../contracts/clock.ts';
import { FRESH_KEPT_SECONDS, FRESH_TOLERANCE_SECONDS } from '../lifetimes.ts';
import type { FreshSignIns } from '../store.ts';
import { createJanitor } from './janitor.ts';

/** Accounts whose next sign-in must be a fresh one, and since when (epoch seconds). */
export class FreshMarks implements FreshSignIns {
  readonly #clock: Clock;
  readonly #marks = new Map<Account, number>();
  readonly #tidy: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tidy = createJanitor(
      this.#marks,
      (mark) => this.#isOver(mark),
      (account) => this.#marks.delete(account),
    );
  }

  set(account: Account): void {
    this.#tidy();
    this.#marks.set(account, Math.max(this.#seconds(), this.#marks.get(account) ?? 0));
  }

  /** @param authTime when the user last authenticated, epoch seconds */
  rejects(account: Account, authTime: number | undefined): boolean {
    const mark = this.#current(account);
    return mark !== undefined && !(authTime !== undefined && authTime >= mark - FRESH_TOLERANCE_SECONDS);
  }

  async find(account: Account): Promise<number | undefined> {
    return this.#current(account);
  }

  async lift(account: Account, upTo = Infinity): Promise<'lifted' | 'none' | 'newer'> {
    const mark = this.#current(account);
    if (mark === undefined) return 'none';
    if (mark > upTo) return 'newer';
    this.#marks.delete(account);
    return 'lifted';
  }

  #current(account: Account): number | undefined {
    const mark = this.#marks.get(account);
    return mark === undefined || this.#isOver(mark) ? undefined : mark;
  }

  #isOver(mark: number): boolean {
    return this.#seconds() >= mark + FRESH_KEPT_SECONDS;
  }

  #seconds(): number {
    return Math.floor(this.#clock.nowMs() / 1000);
  }
}
