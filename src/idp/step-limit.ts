/**
 * The time limit of one step with a provider as a whole: the start of a sign-in, its end, or one re-check.
 *
 * A step makes up to five requests (discovery, token, keys, UserInfo, and again where a response was lost). With a
 * limit for each request alone, a provider that hangs would hold a user, and a session's turn to be re-checked,
 * for as long as all of them together.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { timeoutSignal } from '../timing/timing.ts';
import type { Outbound } from './outbound.ts';

/** A user waits at a blank page, or at kubectl; and a re-check holds its session's claim (30 s). */
const STEP_MS = 5_000;

const limits = new AsyncLocalStorage<AbortSignal>();

/** Runs one step: every request that it makes through `limitedToStep` ends when the step's time is over. */
export const inOneStep = <T>(step: () => Promise<T>): Promise<T> => limits.run(timeoutSignal(STEP_MS), step);

/** Returns the same requests, within the limit of the step that they belong to, where they belong to one. */
export const limitedToStep =
  (outbound: Outbound): Outbound =>
  (url, request) => {
    const limit = limits.getStore();
    if (limit === undefined) return outbound(url, request);
    const { signal } = request;
    return outbound(url, { ...request, signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
  };
