/** Times in a readable form. */

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/**
 * Returns the distance from now, in one or two units: `3m ago`, `in 9h30m`.
 * @param text RFC 3339, as a server sent it; anything else is returned as it is
 * @param now epoch milliseconds
 */
export function fromNow(text: string, now: number): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return text;
  const seconds = Math.round(Math.abs(at - now) / 1000);
  const first = UNITS.findIndex(([, length]) => seconds >= length);
  if (first === -1) return 'now';
  const [unit, length] = UNITS[first] ?? UNITS[3];
  const [smaller, part] = UNITS[first + 1] ?? UNITS[3];
  const rest = Math.floor((seconds % length) / part);
  const span = `${Math.floor(seconds / length)}${unit}${rest === 0 || unit === 's' ? '' : `${rest}${smaller}`}`;
  return at < now ? `${span} ago` : `in ${span}`;
}
