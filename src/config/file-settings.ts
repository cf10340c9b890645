/**
 * Settings that name files: their kinds, which decide how a file is checked when the configuration is read, and
 * whether an error may show what was given as its name.
 */
import { constants, existsSync } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import * as z from 'zod';
import { defined } from '../core/defined.ts';
import { isMapping, valueAt, type Path, type ValidationErrors } from './document.ts';
import { readSecretFile } from './files.ts';
import { metaOf, unwrapped } from './section.ts';
import { text } from './values.ts';

declare module 'zod' {
  interface GlobalMeta {
    /** The setting names a file of this kind. */
    file?: FileKind;
    /** What the file has to hold. */
    holds?: FileCheck;
  }
}

/**
 * `secret`: read as a whole, so it is neither empty nor large. `key`: a private key in PEM. `written`: an audit log,
 * which need not be there yet. `made`: a directory that need not be there yet.
 */
export type FileKind = 'file' | 'key' | 'secret' | 'directory' | 'written' | 'made';

/** @returns what is expected in a file that has something else; it never quotes the text, which may be a secret */
type FileCheck = (text: string) => string | undefined;

/**
 * A setting that names a file; whether it can be used is checked once all is known.
 * @param holds for a file of which the wrong one would be found much later
 */
export const file = (kind: FileKind = 'file', holds?: FileCheck) =>
  text(kind === 'directory' || kind === 'made' ? 'the path of a directory' : 'the path of a file').meta({
    file: kind,
    ...defined({ holds }),
  });

export interface NamedFile {
  readonly path: Path;
  readonly kind: FileKind;
  /** As it is written. */
  readonly name: string;
  readonly holds?: FileCheck;
}

/** Reads the document itself, so that an error elsewhere in a section hides no file. */
export function namedFiles(type: z.core.$ZodType, value: unknown, path: Path = []): readonly NamedFile[] {
  const inner = unwrapped(type);
  const { file: kind, holds } = metaOf(type);
  if (kind !== undefined) {
    return typeof value === 'string' && value !== '' ? [{ path, kind, name: value, ...defined({ holds }) }] : [];
  }
  if (inner instanceof z.core.$ZodUnion) return inner._zod.def.options.flatMap((one) => namedFiles(one, value, path));
  if (inner instanceof z.core.$ZodArray && Array.isArray(value)) {
    return value.flatMap((item, index) => namedFiles(inner._zod.def.element, item, [...path, index]));
  }
  if (!(inner instanceof z.core.$ZodObject) || !isMapping(value)) return [];
  return Object.entries(inner._zod.def.shape).flatMap(([key, one]) => namedFiles(one, value[key], [...path, key]));
}

/** Returns a document in which the names of files are absolute. */
export function withAbsoluteNames(
  root: unknown,
  files: readonly NamedFile[],
  locate: (file: string) => string,
): unknown {
  const copy: unknown = structuredClone(root);
  for (const { path, name } of files) {
    const section = valueAt(copy, path.slice(0, -1));
    if (typeof section === 'object' && section !== null) Reflect.set(section, path.at(-1) ?? '', locate(name));
  }
  return copy;
}

/** A secret may have been put where its file should be named. */
export function mayHoldSecret(type: z.core.$ZodType, [step, ...rest]: Path): boolean {
  const inner = unwrapped(type);
  if (inner instanceof z.core.$ZodUnion) {
    return inner._zod.def.options.some((one) => mayHoldSecret(one, step === undefined ? [] : [step, ...rest]));
  }
  if (step === undefined) return ['key', 'secret'].includes(metaOf(type).file ?? '');
  if (inner instanceof z.core.$ZodArray) return mayHoldSecret(inner._zod.def.element, rest);
  if (!(inner instanceof z.core.$ZodObject) || !Object.hasOwn(inner._zod.def.shape, step)) return false;
  const below = inner._zod.def.shape[step];
  return below !== undefined && mayHoldSecret(below, rest);
}

/**
 * Checks files when the configuration is read, not at the first sign-in.
 * @param locate makes a path absolute
 */
export async function checkFiles(
  files: readonly NamedFile[],
  locate: (file: string) => string,
  errors: ValidationErrors,
): Promise<void> {
  for (const named of files) {
    const error = await errorOf(named, locate);
    if (error !== undefined) errors.add(named.path, error);
  }
}

async function errorOf(
  { kind, name, holds }: NamedFile,
  locate: (file: string) => string,
): Promise<string | undefined> {
  const file = locate(name);
  try {
    if (kind === 'secret') readSecretFile(file);
    else if (kind === 'written') await access(dirname(file), constants.W_OK | constants.X_OK);
    else if (kind === 'made') await access(existsSync(file) ? file : dirname(file), constants.W_OK | constants.X_OK);
    else await access(file, kind === 'directory' ? constants.R_OK | constants.X_OK : constants.R_OK);
    if (kind === 'written' || kind === 'made') return undefined;
    if ((await stat(file)).isDirectory() !== (kind === 'directory')) return EXPECTED[kind];
    return holds?.((await readFile(file, 'utf8')).replace(/\r?\n$/, ''));
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'empty, or larger than 64 KiB';
    // A relative path counts from the configuration's folder, which is seldom the one that its author thinks of.
    return `${EXPECTED[kind]} (${why}${isAbsolute(name) ? '' : `, in ${locate('.')}`})`;
  }
}

const EXPECTED: Record<FileKind, string> = {
  file: 'a file that can be read',
  key: 'a file that can be read',
  secret: 'a file that can be read and holds the secret',
  directory: 'a directory that can be read',
  written: 'a file in a directory that can be written to',
  made: 'a directory that can be written to, or made',
};
