/** Sessions at providers that are closed, in memory. */
import type { Clock } from '../../contracts/clock.ts';
import { PROVIDER_SESSION_CLOSED_SECONDS } from '../lifetimes.ts';
import type { ProviderSession, SessionRecord } from '../store.ts';
import { createJanitor } from './janitor.ts';

const nameOf = (provider: string, sid: string): string => JSON.stringify([provider, sid]);

/** Sessions at providers that are closed, each with the end of its retention (epoch milliseconds). */
export class ClosedProviderSessions {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();
  readonly #tidy: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tidy = createJanitor(
      this.#until,
      (until) => clock.nowMs() >= until,
      (name) => this.#until.delete(name),
    );
  }

  close({ provider, sid }: ProviderSession): void {
    this.#tidy();
    this.#until.set(nameOf(provider, sid), this.#clock.nowMs() + PROVIDER_SESSION_CLOSED_SECONDS * 1000);
  }

  /** Returns whether the session was opened in a closed provider session. */
  has({ provider, providerSid }: Pick<SessionRecord, 'provider' | 'providerSid'>): boolean {
    if (providerSid === undefined) return false;
    return this.#clock.nowMs() < (this.#until.get(nameOf(provider, providerSid)) ?? 0);
  }
}
