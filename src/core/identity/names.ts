/**
 * Checks names before they go into impersonation headers, RBAC rules and the pages that admins read.
 *
 * An attacker chooses a name that looks like another user's (invisible and bidirectional characters), that
 * HTTP changes on its way (white space at its ends, control characters), or that has a meaning in Kubernetes
 * (`system:masters`).
 */

/** Bytes of UTF-8. A longer name is rejected, never truncated: two long names could be truncated to the same one. */
export const MAX_USERNAME_BYTES = 512;
export const MAX_GROUP_BYTES = 256;
export const MAX_EXTRA_VALUE_BYTES = 1024;
/** The default of `limits.groups`. */
export const MAX_GROUPS = 1000;

export type NameProblem = 'not_string' | 'empty' | 'white_space' | 'characters' | 'reserved' | 'too_long';

/**
 * Characters that no name may have:
 * - Cc: controls, U+0000–001F and U+007F–009F;
 * - Cf: formatting, among them bidirectional controls (U+061C, 200E–200F, 202A–202E, 2066–2069), zero-width ones
 *   (U+200B–200D, 2060–2064, FEFF), the soft hyphen (U+00AD) and tags (U+E0001–E007F);
 * - Cs: lone surrogates; Zl and Zp: line and paragraph separators (U+2028, U+2029);
 * - DI: other characters that are not displayed (U+034F, 115F–1160, 17B4–17B5, 180B–180F, 3164, FE00–FE0F, FFA0,
 *   E0100–E01EF);
 * - U+2800, the blank Braille pattern, and U+FFFD, which a decoder writes for bytes that it cannot read.
 */
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}\u2800\uFFFD]/u;

/** Kubernetes reserves this prefix; case is ignored, so that no name looks like it either. */
const RESERVED = /^system:/i;

/** Returns the length in bytes of UTF-8. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).byteLength;

/**
 * Checks a name for Kubernetes.
 * @param maxBytes longest name in bytes of UTF-8
 * @returns the problem; undefined if there is none
 */
export function nameProblem(name: unknown, maxBytes: number): NameProblem | undefined {
  const problem = textProblem(name, maxBytes);
  if (problem !== undefined) return problem;
  return typeof name === 'string' && RESERVED.test(name) ? 'reserved' : undefined;
}

/** Checks text that is not a name (a uid, a value of `extra`), as `nameProblem` does. */
export function textProblem(text: unknown, maxBytes: number): NameProblem | undefined {
  if (typeof text !== 'string') return 'not_string';
  if (text === '') return 'empty';
  if (text !== text.trim()) return 'white_space';
  if (FORBIDDEN.test(text)) return 'characters';
  return byteLength(text) > maxBytes ? 'too_long' : undefined;
}

/** Returns the first forbidden character as `U+202E`, for a message that must not show the name itself. */
export function forbiddenCharacter(text: string): string | undefined {
  const found = FORBIDDEN.exec(text)?.[0].codePointAt(0);
  return found === undefined ? undefined : `U+${found.toString(16).toUpperCase().padStart(4, '0')}`;
}
