/** How long what was read is believed. */

/**
 * False as well where the clock was set back since: what lasts until an hour on it would last for as long as the step was, a key that the provider
 * has taken away included.
 * @param at.since, at.now epoch milliseconds
 */
export function isYoung(ttlMs: number, at: { readonly since: number; readonly now: number }): boolean {
  const age = at.now - at.since;
  return age >= 0 && age < ttlMs;
}
