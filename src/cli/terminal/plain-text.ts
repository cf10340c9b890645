/**
 * Words from outside, made safe for a terminal.
 */

/**
 * Controls, formats and line separators, by Unicode category (Cc, Cf, Zl, Zp). Threat: with escape sequences a server could
 * rewrite the screen, and with bidirectional formats show one name as another.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

/**
 * One line of printable text.
 * @param text anything that a server, a file or the system said
 * @param limit longest result in UTF-16 units
 */
export function plainText(text: string, limit = 500): string {
  const line = text.replace(UNSAFE, ' ').trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1)}…`;
}

/** Every character that a terminal might obey as the `\uXXXX` that JSON and YAML have for it. */
export const escapeUnsafe = (text: string): string =>
  text.replace(UNSAFE, (characters) =>
    characters.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

/** The same for text of several lines, which it keeps as they are but for the unsafe characters. */
export const plainLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.replace(UNSAFE, ' '))
    .join('\n');

/** JSON for stdout, indented, with every character that a terminal might obey written as an escape. */
export function plainJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2).split('\n').map(escapeUnsafe).join('\n');
}
