/** A discovery document as received, before anything in it is trusted: each value may be of any type and any length. */
import { short } from './row.ts';

export type Metadata = Readonly<Record<string, unknown>>;

/** A hostile provider lists ten thousand of anything, so lists are cut. */
const MAX_ENTRIES = 200;
const MAX_SHOWN = 12;

export function textIn(metadata: Metadata, key: string): string | undefined {
  const value = metadata[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** @returns undefined where there is no list; items that are no text are left out */
export function listIn(metadata: Metadata, key: string): readonly string[] | undefined {
  const value = metadata[key];
  if (!Array.isArray(value)) return undefined;
  return value.slice(0, MAX_ENTRIES).filter((entry): entry is string => typeof entry === 'string');
}

export const flagIn = (metadata: Metadata, key: string): boolean => metadata[key] === true;

/** Returns a list for display. */
export function shown(entries: readonly string[]): string {
  if (entries.length === 0) return 'nothing';
  const rest = entries.length - MAX_SHOWN;
  const listed = entries.slice(0, MAX_SHOWN).map((entry) => short(entry, 60));
  return rest > 0 ? `${listed.join(', ')} and ${rest} more` : listed.join(', ');
}

/**
 * Parses a discovery document.
 * @param redacted removes secrets, before anything is cut to its length
 * @returns undefined where the text is no JSON object
 */
export function metadataOf(text: string, redacted: (text: string) => string): Metadata | undefined {
  try {
    const document: unknown = JSON.parse(text, (_key, value: unknown) =>
      typeof value === 'string' ? redacted(value) : value,
    );
    if (typeof document === 'object' && document !== null && !Array.isArray(document)) return document as Metadata;
  } catch {
    // The parser's message quotes the text, so it is dropped.
  }
  return undefined;
}
