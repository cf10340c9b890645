/** Untrusted text, made safe for a terminal. */

/**
 * Controls, formats and line separators, by Unicode category (Cc, Cf, Zl, Zp). An attacker with escape sequences
 * could rewrite the screen, and with bidirectional formats could show one name as another, so all of them are
 * removed.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

/**
 * Returns one line of printable text.
 * @param text untrusted text of a server, a file or the system
 * @param limit longest result in UTF-16 units
 */
export function plainText(text: string, limit = 500): string {
  const line = text.replace(UNSAFE, ' ').trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1)}…`;
}

/** Writes every character that a terminal might interpret as the `\uXXXX` of JSON and YAML. */
export const escapeUnsafe = (text: string): string =>
  text.replace(UNSAFE, (characters) =>
    characters.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

/** Returns text of several lines as it is, except for the unsafe characters. */
export const plainLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.replace(UNSAFE, ' '))
    .join('\n');

/** Returns indented JSON for stdout, in which every character that a terminal might interpret is an escape. */
export function plainJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2).split('\n').map(escapeUnsafe).join('\n');
}
