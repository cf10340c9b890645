/** The store as a command asks it: a request is rejected in time, and a command can wait. */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../core/errors.ts';

/** Milliseconds. As long as a restarted Redis or a slow network takes, and as an operator waits at a shell. */
const LIMIT_MS = 10_000;
const EVERY_MS = 100;

/**
 * Asks again while the store is unavailable. One question has 250 ms, its connection included, which the start of a
 * process on a busy machine, or TLS over a slow network, uses up.
 * @param ask the question; it must do no harm if it is asked again after it was answered
 * @throws what the last question threw; anything but `store_unavailable` immediately
 */
export async function patiently<T>(
  ask: () => Promise<T>,
  { limitMs = LIMIT_MS, everyMs = EVERY_MS }: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isUnavailable = error instanceof AppError && error.code === 'store_unavailable';
      if (!isUnavailable || performance.now() + everyMs > until) throw error;
    }
    await delay(everyMs);
  }
}
