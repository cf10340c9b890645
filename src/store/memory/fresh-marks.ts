import type { Account } from '../../core/identity.ts';
import type { Clock } from '../clock.ts';
import { FRESH_KEPT_SECONDS, FRESH_TOLERANCE_SECONDS } from '../lifetimes.ts';
import { createJanitor } from './janitor.ts';

/** Accounts whose next sign-in must be a fresh one, since when (epoch seconds). */
export class FreshMarks {
  readonly #clock: Clock;
  readonly #marks = new Map<Account, number>();
  readonly #tidy: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tidy = createJanitor(
      this.#marks,
      (mark) => this.#over(mark),
      (account) => this.#marks.delete(account),
    );
  }

  set(account: Account): void {
    this.#tidy();
    this.#marks.set(account, Math.max(this.#seconds(), this.#marks.get(account) ?? 0));
  }

  /** @param authTime when the person last proved who they are, epoch seconds */
  refuses(account: Account, authTime: number | undefined): boolean {
    const mark = this.#marks.get(account);
    if (mark === undefined || this.#over(mark)) return false;
    return !(authTime !== undefined && authTime >= mark - FRESH_TOLERANCE_SECONDS);
  }

  #over(mark: number): boolean {
    return this.#seconds() >= mark + FRESH_KEPT_SECONDS;
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}
