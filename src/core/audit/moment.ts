/** Times as users type them for a search of the audit log. */

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const AGE = /^(\d{1,6})([smhd])$/;
const MOMENT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Parses a time, a day or an age such as `12h`; a time without a zone is UTC.
 * @param now milliseconds since the epoch
 * @returns the format of the audit log; undefined for any other text
 */
export function momentOf(text: string, now: number): string | undefined {
  const [, count, unit = ''] = AGE.exec(text) ?? [];
  const ago = count === undefined ? undefined : now - Number(count) * (SECONDS[unit] ?? 0) * 1000;
  const written = MOMENT.exec(text);
  if (ago === undefined && (written === null || !isDay(text.slice(0, 10)))) return undefined;
  const zoned = text.includes('T') && written?.[1] === undefined ? `${text}Z` : text;
  const at = new Date(ago ?? zoned);
  return Number.isNaN(at.getTime()) ? undefined : auditTime(at.getTime());
}

/** Behind it ISO 8601 writes `+010000`, which as text is before every other year. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * Returns a time in the format of the audit log, in which texts compare as times do.
 * @param milliseconds since the epoch; the end of the year 9999 stands for anything later
 */
export const auditTime = (milliseconds: number): string =>
  new Date(Math.min(milliseconds, LAST_MS)).toISOString().replace('Z', '000Z');

/** `Date` turns a day that does not exist, such as 2026-02-30, into another. */
function isDay(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}
