/** Validation errors of the configuration, their text, and warnings. */

export interface ValidationError {
  /** `providers[0].issuer`, or the environment variable that set it. Empty for the whole document. */
  readonly path: string;
  /** A description of what is expected there. */
  readonly expected: string;
  /** The value there, shortened; absent where there is none or where it could be a secret. */
  readonly got?: string;
  /** Line of the file, from 1. */
  readonly line?: number;
}

/** A setting that weakens something, in one sentence. */
export interface ConfigWarning {
  /** The path of the setting, such as `admin.groups`, or of the list that holds it. */
  readonly setting: string;
  readonly message: string;
}

/** Formats one error a line, in the order of the file. */
export function formatErrors(errors: readonly ValidationError[]): string {
  const ordered = errors.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  const head =
    errors.length === 1 ? 'The configuration has an error:' : `The configuration has ${errors.length} errors:`;
  return [head, ...ordered.map((error) => `  - ${formatError(error)}`)].join('\n');
}

function formatError({ path, expected, got, line }: ValidationError): string {
  const place = [path, line === undefined ? '' : `(line ${line})`].filter((part) => part !== '').join(' ');
  const found = got === undefined ? '' : `, got ${got}`;
  return place === '' ? `${expected}${found}` : `${place}: ${expected}${found}`;
}

/** Returns `['providers', 0, 'issuer']` as `providers[0].issuer`. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? String(step) : `.${String(step)}`;
  }
  return text;
}

const MAX_SHOWN = 80;
/**
 * `secrets/client-secret`: folders and a file in lower-case letters, which say what they hold. What a program generates
 * as a secret has digits, and what a user chooses is not called so.
 */
const PLAIN_PATH =
  /^(?=.*(?:secret|password|token|user|key|credentials))(?:[a-z]+(?:[._-][a-z]+)*\/)+[a-z]+(?:[._-][a-z]+)*$/;

/**
 * Returns a value as an error may show it: never a secret, never long, never more than one line.
 * @param mayBeSecret the setting names a file that holds a secret
 */
export function shown(value: unknown, mayBeSecret: boolean): string | undefined {
  if (value === undefined) return undefined;
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'string') return 'a mapping';
  // A path may be shown, a pasted secret must not; nor the user info of a URL.
  const secret = (mayBeSecret && !/^[/.]/.test(value) && !PLAIN_PATH.test(value)) || value.includes('@');
  if (secret) return 'a value that is not shown';
  const text = JSON.stringify(value);
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`;
}
