/**
 * The re-check of browsers' sessions (docs/architecture.md#invariant-10). No program refreshes such a session, so its provider
 * is asked while it is used: at the pages and at web consoles, every `sessions.recheck`.
 *
 * A user was disabled at the provider, or has left a group, and goes on by the cookie of this morning, at clusters
 * through a console too, until the session ends by its time.
 */
import { LRUCache } from 'lru-cache';
import type { Config } from '../config/config.ts';
import type { Clock } from '../contracts/clock.ts';
import { atMost } from '../core/cache-bound.ts';
import { AppError } from '../core/errors.ts';
import { isRecent } from '../core/time.ts';
import type { SessionRecord } from '../store/store.ts';
import type { RecheckOutcome } from './recheck.ts';

/** A check without an answer is tried again after this share of the interval, as for streams. */
const RETRY_SHARE = 0.2;
const REMEMBERED = 10_000;

/** A browser's session that goes on. */
export interface CheckedSession {
  readonly record: SessionRecord;
  /** The provider has not confirmed the user for longer than `sessions.recheckGrace`, because it cannot be asked. */
  readonly isOverdue: boolean;
}

/** @returns undefined where the session has ended, because the provider or a rule rejects the user */
export type RecheckBrowser = (record: SessionRecord) => Promise<CheckedSession | undefined>;

export interface BrowserRecheckDeps {
  readonly sessions: Pick<Config['sessions'], 'recheck' | 'recheckGrace'>;
  /** Asks, and draws the consequences. @throws AppError `provider_unavailable` */
  readonly recheck: (session: string) => Promise<RecheckOutcome>;
  readonly clock: Clock;
}

export function createBrowserRecheck({ sessions, recheck, clock }: BrowserRecheckDeps): RecheckBrowser {
  const everyMs = sessions.recheck * 1000;
  /** The last time that a provider was asked here. One that gave no refresh token is never asked, and leaves no time in the session. */
  const asked = new LRUCache<string, { readonly atMs: number; readonly answered: boolean }>(atMost(REMEMBERED));

  /** A page makes a hundred requests at once: one asks, and what follows is done and audited once. */
  const running = new Map<string, Promise<SessionRecord | undefined>>();

  async function ask(record: SessionRecord, atMs: number): Promise<SessionRecord | undefined> {
    try {
      const outcome = await recheck(record.id);
      asked.set(record.id, { atMs, answered: true });
      return outcome.kind === 'gone' || outcome.kind === 'refused' ? undefined : outcome.record;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'provider_unavailable') throw error;
      asked.set(record.id, { atMs, answered: false });
      return record;
    }
  }

  function askOnce(record: SessionRecord, atMs: number): Promise<SessionRecord | undefined> {
    const answer = running.get(record.id) ?? ask(record, atMs).finally(() => running.delete(record.id));
    running.set(record.id, answer);
    return answer;
  }

  return async (before) => {
    const nowMs = clock.nowMs();
    // A time in the future means nothing: the clock was set back.
    if (isRecent(before.checkedAt * 1000, nowMs, everyMs)) return { record: before, isOverdue: false };
    const last = asked.get(before.id);
    const isSoon = last !== undefined && isRecent(last.atMs, nowMs, last.answered ? everyMs : everyMs * RETRY_SHARE);
    const record = isSoon ? before : await askOnce(before, nowMs);
    if (record === undefined) return undefined;
    const isConfirmed = asked.get(record.id)?.answered !== false;
    return {
      record,
      isOverdue: !isConfirmed && !isRecent(record.checkedAt * 1000, nowMs, sessions.recheckGrace * 1000),
    };
  };
}
