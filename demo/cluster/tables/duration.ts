/** How long ago, in the short form of kubectl's AGE column. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** From `below` seconds downwards in these two units; the second is left out where it is zero or absent. */
const FORMS: readonly [below: number, unit: number, sign: string, unit2: number, sign2: string][] = [
  [2 * MINUTE, 1, 's', 0, ''],
  [10 * MINUTE, MINUTE, 'm', 1, 's'],
  [3 * HOUR, MINUTE, 'm', 0, ''],
  [8 * HOUR, HOUR, 'h', MINUTE, 'm'],
  [2 * DAY, HOUR, 'h', 0, ''],
  [8 * DAY, DAY, 'd', HOUR, 'h'],
  [2 * YEAR, DAY, 'd', 0, ''],
  [8 * YEAR, YEAR, 'y', DAY, 'd'],
  [Number.POSITIVE_INFINITY, YEAR, 'y', 0, ''],
];

/** @param seconds since it was created; less than zero counts as now */
export function humanDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const form = FORMS.find(([below]) => whole < below);
  if (form === undefined) return '<unknown>';
  const [, unit, sign, unit2, sign2] = form;
  const rest = unit2 === 0 ? 0 : Math.floor((whole % unit) / unit2);
  return `${Math.floor(whole / unit)}${sign}${rest === 0 ? '' : `${rest}${sign2}`}`;
}

/** @param time RFC 3339, or empty */
export function age(time: string, now: Date): string {
  const at = Date.parse(time);
  return Number.isNaN(at) ? '<unknown>' : humanDuration((now.getTime() - at) / 1000);
}
