import type { Account } from '../../core/identity/identity.ts';
import type { Clock } from '../../contracts/clock.ts';
import { FRESH_KEPT_SECONDS, FRESH_TOLERANCE_SECONDS } from '../lifetimes.ts';
import type { FreshSignIns } from '../store.ts';
import { createJanitor } from './janitor.ts';

/** Accounts whose next sign-in must be a fresh one, since when (epoch seconds). */
export class FreshMarks implements FreshSignIns {
  readonly #clock: Clock;
  readonly #marks = new Map<Account, number>();
  readonly #tidy: () => void;

  readonly #skew: number;

  /** @param skew by how much a provider's clock may be off, in seconds */
  constructor(clock: Clock, skew = FRESH_TOLERANCE_SECONDS) {
    this.#clock = clock;
    this.#skew = skew;
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
    const mark = this.#standing(account);
    return mark !== undefined && !(authTime !== undefined && authTime >= mark - this.#skew);
  }

  async find(account: Account): Promise<number | undefined> {
    return this.#standing(account);
  }

  async lift(account: Account, upTo = Infinity): Promise<'lifted' | 'none' | 'newer'> {
    const mark = this.#standing(account);
    if (mark === undefined) return 'none';
    if (mark > upTo) return 'newer';
    this.#marks.delete(account);
    return 'lifted';
  }

  #standing(account: Account): number | undefined {
    const mark = this.#marks.get(account);
    return mark === undefined || this.#over(mark) ? undefined : mark;
  }

  #over(mark: number): boolean {
    return this.#seconds() >= mark + FRESH_KEPT_SECONDS;
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}
