/** What a probe sees of a provider's clock: its web server's before a sign-in, and that of its ID tokens at one. */
import { DEFAULT_CLOCK_SKEW_SECONDS } from '../provider-clock.ts';
import type { Listener } from './listener.ts';
import { needed, optional, type ProbeRow } from './row.ts';

const CHECK = 'clock';

const shownSkew = (skew: number): string =>
  skew === 0 ? 'as ours' : `${Math.abs(skew)} s ${skew < 0 ? 'behind' : 'ahead of'} ours`;

const synchronize = (allowed: number): string => `Set both clocks by NTP: clockSkew allows for ${allowed} s.`;

/** Both times are whole seconds, and the response took time. */
const isWithin = (skew: number, allowed: number): boolean => Math.abs(skew) <= allowed + 1;

/**
 * Reads the `Date` of the provider's web server (RFC 9110 §6.6.1). It need not be the clock of the process that issues
 * ID tokens, so this is a hint and no result. A cached response has an old time, and its age beside it.
 * @returns no row where there was no response
 */
export function webServerClockRows(listener: Listener, allowed = DEFAULT_CLOCK_SKEW_SECONDS): readonly ProbeRow[] {
  const last = listener.all.findLast(({ response: { headers } }) => headers.has('date') && !headers.has('age'));
  if (last === undefined) return listener.all.length === 0 ? [] : [needed.unknown(CHECK, 'it sends no Date')];
  const theirs = Date.parse(last.response.headers.get('date') ?? '');
  if (!Number.isFinite(theirs)) return [needed.unknown(CHECK, 'its Date cannot be read')];
  const skew = Math.round((theirs - Math.floor(last.at / 1000) * 1000) / 1000);
  const seen = `the Date of its web server is ${shownSkew(skew)}; its ID tokens may have another clock`;
  return [isWithin(skew, allowed) ? needed.unknown(CHECK, seen) : needed.unknown(CHECK, seen, synchronize(allowed))];
}

/**
 * @param iat of an ID token that was issued just now
 * @param at epoch milliseconds at which it came
 */
export function tokenClockRow(iat: unknown, at: number, allowed = DEFAULT_CLOCK_SKEW_SECONDS): ProbeRow {
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return needed.unknown(CHECK, 'its ID token has no iat');
  const skew = Math.round(iat - Math.floor(at / 1000));
  const seen = `iat of its ID token is ${shownSkew(skew)}`;
  if (isWithin(skew, allowed)) return needed.works(CHECK, seen);
  // A clock that is behind keeps no user out while ID tokens last longer than that.
  const row = skew > 0 ? needed : optional;
  return row.fails(CHECK, seen, synchronize(allowed));
}
