/** The form of a section of the file. */
import * as z from 'zod';
import { nearest } from '../core/nearest.ts';

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
export function unknownSettingMessage(key: string, known: readonly string[]): string {
  const guess = nearest(key, known);
  return guess === undefined
    ? `no such setting; there are ${known.join(', ')}`
    : `no such setting; did you mean ${guess}?`;
}

export const list = <T extends z.ZodType>(item: T, of: string) => z.array(item, { error: `a list of ${of}` });
