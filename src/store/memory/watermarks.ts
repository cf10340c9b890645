/** The numbers of the last revocations, in memory. */
import type { Account } from '../../core/identity/identity.ts';
import type { RevocationTarget } from '../../core/credential/revocation.ts';
import type { Clock } from '../../contracts/clock.ts';
import { ACCOUNT_WATERMARK_SECONDS } from '../lifetimes.ts';
import { createJanitor } from './janitor.ts';

/**
 * Numbers of the last revocation of each account, of each provider and of all. Sessions that began at or before
 * that number have ended.
 */
export class Watermarks {
  readonly #clock: Clock;
  readonly #marks = new Map<string, { readonly number: number; readonly keptUntilMs: number }>();
  readonly #tidy: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tidy = createJanitor(
      this.#marks,
      (mark) => clock.nowMs() >= mark.keptUntilMs,
      (name) => this.#marks.delete(name),
    );
  }

  raise(target: RevocationTarget, number: number): void {
    this.#tidy();
    switch (target.kind) {
      case 'session':
      case 'grant':
        return;
      case 'account':
        this.#marks.set(`account:${target.account}`, {
          number,
          keptUntilMs: this.#clock.nowMs() + ACCOUNT_WATERMARK_SECONDS * 1000,
        });
        return;
      case 'provider':
        this.#marks.set(`provider:${target.provider}`, { number, keptUntilMs: Infinity });
        return;
      case 'all':
        this.#marks.set('all', { number, keptUntilMs: Infinity });
    }
  }

  /** Returns whether the account, its provider or all were revoked after `started`. */
  covers(account: Account, provider: string, started: number): boolean {
    return [`account:${account}`, `provider:${provider}`, 'all'].some((name) => {
      const mark = this.#marks.get(name);
      return mark !== undefined && mark.number > started && this.#clock.nowMs() < mark.keptUntilMs;
    });
  }
}
