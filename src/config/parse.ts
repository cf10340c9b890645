/** From a document to its sections: one parse of the whole, which reports every error together. */
import type * as z from 'zod';
import { valueAt, type ValidationErrors } from './document.ts';
import { configuration } from './schema.ts';

export type Parsed = z.output<typeof configuration>;

/** Sections without an error of their own, for checks of several settings together. */
export type Sections = Partial<Parsed>;

/** @returns all sections, or those that have no error where the others' errors are in the list now */
export function parseDocument(
  root: unknown,
  errors: ValidationErrors,
): { readonly sections: Sections; readonly whole?: Parsed } {
  const outcome = configuration.safeParse(root);
  if (outcome.success) return { sections: outcome.data, whole: outcome.data };
  for (const issue of outcome.error.issues) addIssue(issue, errors);
  const good = Object.entries(configuration.shape).flatMap(([key, type]) => {
    const section = type.safeParse(valueAt(root, [key]));
    return section.success ? [[key, section.data]] : [];
  });
  return { sections: Object.fromEntries(good) };
}

function addIssue(issue: z.core.$ZodIssue, errors: ValidationErrors): void {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code !== 'unrecognized_keys') return errors.add(path, issue.message);
  const message = issue.message.split('\n');
  // The value of an unknown key is not shown: it may be a secret in place of a file's name.
  issue.keys.forEach((key, index) => errors.add([...path, key], message[index] ?? 'no such setting', { show: false }));
}
