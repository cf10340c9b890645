/** The form of a section of the file, and what is said of a setting beside its key. */
import * as z from 'zod';
import { nearest } from '../core/nearest.ts';

declare module 'zod' {
  interface GlobalMeta {
    /** What a setting means, for docs/reference/configuration.md. */
    text?: string;
    /** Its default as a text, where the schema has none because other settings decide. */
    default?: string;
  }
}

/** A mapping that rejects unknown keys, each with its own line of explanation. */
export function section<T extends z.core.$ZodLooseShape>(shape: T) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownSettingMessage(key, known)).join('\n')
        : `a mapping with ${known.join(', ')}`,
  });
}

/** Returns one line for an unknown key. */
function unknownSettingMessage(key: string, known: readonly string[]): string {
  const guess = nearest(key, known);
  return guess === undefined
    ? `no such setting; there are ${known.join(', ')}`
    : `no such setting; did you mean ${guess}?`;
}

export const list = <T extends z.ZodType>(item: T, of: string) => z.array(item, { error: `a list of ${of}` });

/** Returns what is one step below: of `optional`, a default or the completion of a section; undefined of others. */
function wrappedBy(type: z.core.$ZodType): z.core.$ZodType | undefined {
  if (type instanceof z.core.$ZodPipe && type._zod.def.in instanceof z.core.$ZodObject) return type._zod.def.in;
  return type instanceof z.core.$ZodOptional ||
    type instanceof z.core.$ZodDefault ||
    type instanceof z.core.$ZodPrefault
    ? type._zod.def.innerType
    : undefined;
}

/** Returns what a setting is, whether or not it has to be set. */
export function unwrapped(type: z.core.$ZodType): z.core.$ZodType {
  const inner = wrappedBy(type);
  return inner === undefined ? type : unwrapped(inner);
}

/** Returns what is said of a setting: at `optional` and the like, or below them. */
export function metaOf(type: z.core.$ZodType): z.GlobalMeta {
  const inner = wrappedBy(type);
  return { ...(inner === undefined ? undefined : metaOf(inner)), ...z.globalRegistry.get(type) };
}
