/**
 * What a name may look like before it goes into an impersonation header, an RBAC rule and the eyes of an admin.
 *
 * Threats: a name that looks like another one (invisible and bidirectional characters), a name that HTTP changes on its way
 * (edge white space, control characters), and a name that means something to Kubernetes itself (`system:masters`).
 */

/** Bytes of UTF-8. A name over its limit is refused, never cut: two long names could be cut to the same one. */
export const MAX_USERNAME_BYTES = 512;
export const MAX_GROUP_BYTES = 256;
export const MAX_EXTRA_VALUE_BYTES = 1024;
/** Where `limits.groups` says nothing else. */
export const MAX_GROUPS = 1000;

export type NameProblem = 'not_string' | 'empty' | 'white_space' | 'characters' | 'reserved' | 'too_long';

/**
 * Characters that no name may have:
 * - Cc: controls, U+0000–001F and U+007F–009F;
 * - Cf: formatting, among them bidirectional controls (U+061C, 200E–200F, 202A–202E, 2066–2069), zero-width ones (U+200B–200D,
 *   2060–2064, FEFF), the soft hyphen (U+00AD) and tags (U+E0001–E007F);
 * - Cs: surrogates that stand alone; Zl and Zp: line and paragraph separators (U+2028, U+2029);
 * - DI: whatever else is drawn as nothing (U+034F, 115F–1160, 17B4–17B5, 180B–180F, 3164, FE00–FE0F, FFA0, E0100–E01EF);
 * - U+2800, the blank Braille pattern, and U+FFFD, which stands where a decoder lost something.
 */
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{DI}\u2800\uFFFD]/u;

/** Kubernetes keeps this prefix for itself; case is folded so that nothing looks like it either. */
const RESERVED = /^system:/i;

/** Length in bytes of UTF-8. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).byteLength;

/**
 * @param maxBytes longest name in bytes of UTF-8
 * @returns what is wrong with a name for Kubernetes; undefined where nothing is
 */
export function nameProblem(name: unknown, maxBytes: number): NameProblem | undefined {
  const problem = textProblem(name, maxBytes);
  if (problem !== undefined) return problem;
  return typeof name === 'string' && RESERVED.test(name) ? 'reserved' : undefined;
}

/** As `nameProblem`, for text that names nobody (a uid, a value of `extra`). */
export function textProblem(text: unknown, maxBytes: number): NameProblem | undefined {
  if (typeof text !== 'string') return 'not_string';
  if (text === '') return 'empty';
  if (text !== text.trim()) return 'white_space';
  if (FORBIDDEN.test(text)) return 'characters';
  return byteLength(text) > maxBytes ? 'too_long' : undefined;
}

/** The first forbidden character as `U+202E`, for a message that must not show the name itself. */
export function forbiddenCharacter(text: string): string | undefined {
  const found = FORBIDDEN.exec(text)?.[0].codePointAt(0);
  return found === undefined ? undefined : `U+${found.toString(16).toUpperCase().padStart(4, '0')}`;
}
