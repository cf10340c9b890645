/** What `build.ts` tells the generator, which is a process of its own, of the version that it builds. */
import { env } from 'node:process';

export interface Version {
  /** The folder that it is in: `0.1.0`, or `next`. */
  readonly id: string;
  readonly label: string;
  /** The addresses that it has. */
  readonly slugs: readonly string[];
}

export interface Settings {
  /** The checkout that is read. */
  readonly root: string;
  readonly out: string;
  /** Where the text for the search is left. */
  readonly searchText: string;
  readonly version: string;
  /** All that are built beside each other, the newest first. */
  readonly versions: readonly Version[];
  /** Absent: source files are shown as paths. */
  readonly source?: { readonly repository: string; readonly ref: string };
}

export const SETTINGS = 'PORTCULLIS_SITE';

/** @throws Error where the generator was not started by `build.ts` */
export function readSettings(): Settings {
  const text = env[SETTINGS];
  if (text === undefined) throw new Error('start it with: npm run docs:build');
  return JSON.parse(text) as Settings;
}
