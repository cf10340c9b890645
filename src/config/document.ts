/** A configuration before it is validated: plain data, and how to name a position in it for users. */
import type { ValidationError } from './validation-errors.ts';
import { shown } from './validation-errors.ts';

export type Path = readonly (string | number)[];

export interface SourceDocument {
  readonly root: Readonly<Record<string, unknown>>;
  /** The file that it was read from, absolute. */
  readonly file?: string;
  /** Relative paths of files are relative to this. */
  readonly baseDirectory: string;
  /** Returns the setting as its author wrote it: a path in the file with its line, or an environment variable. */
  locationOf(path: Path): { readonly path: string; readonly line?: number };
}

/** Collects validation errors; two about one setting of the author are one. */
export class ValidationErrors {
  readonly #errors = new Map<string, ValidationError>();
  readonly #document: SourceDocument;
  readonly #mayHoldSecret: (path: Path) => boolean;

  /** @param mayHoldSecret whether a secret may have been put there, where its file should be named */
  constructor(document: SourceDocument, mayHoldSecret: (path: Path) => boolean) {
    this.#document = document;
    this.#mayHoldSecret = mayHoldSecret;
  }

  /** @param show whether the value may be shown, as far as `shown` allows */
  add(path: Path, expected: string, { show = true } = {}): void {
    const location = this.#document.locationOf(path);
    if (this.#errors.has(location.path)) return;
    const got = show ? shown(valueAt(this.#document.root, path), this.#mayHoldSecret(path)) : undefined;
    this.#errors.set(location.path, { ...location, expected, ...(got === undefined ? {} : { got }) });
  }

  get all(): readonly ValidationError[] {
    return [...this.#errors.values()];
  }
}

export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the strings of a list; none where it is no list. */
export const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

/** Returns the items of a list; none where it is no list. */
export const items = (root: unknown, key: string): readonly unknown[] => {
  const list = valueAt(root, [key]);
  return Array.isArray(list) ? list : [];
};

/** Returns the string at a path; undefined where there is none. */
export function textAt(value: unknown, ...path: (string | number)[]): string | undefined {
  const text = valueAt(value, path);
  return typeof text === 'string' ? text : undefined;
}
