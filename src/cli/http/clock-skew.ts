/** Clock skew. A wrong clock makes valid certificates and tokens look invalid, and no user suspects it. */

/** A smaller skew is the network's delay, the header's whole seconds, or harmless drift. */
const NOTICED_MS = 60_000;

/**
 * Returns the milliseconds by which the server's clock is ahead of this one's.
 * @param date the response's `Date` header (RFC 9110 §6.6.1)
 * @param now epoch milliseconds by this machine's clock
 */
export function skewOf(date: string | undefined, now: number): number | undefined {
  const server = Date.parse(date ?? '');
  return Number.isNaN(server) ? undefined : server - now;
}

/** Puts the clock before `next`, where clock skew may be the reason for a rejection. */
export function clockFirst(skewMs: number | undefined, next: string): string {
  const skew = describeSkew(skewMs ?? 0);
  return skew === '' ? next : `${skew}: correct it, then: ${next}`;
}

/** Returns an empty text where the clocks agree well enough. */
export function describeSkew(skewMs: number): string {
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  if (Math.abs(skewMs) < NOTICED_MS) return '';
  const size = minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return `this machine's clock is ${size} ${skewMs > 0 ? 'behind' : 'ahead of'} the server's`;
}
