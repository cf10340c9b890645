/** What goes into a single executable, laid out as Node wants to read it (https://nodejs.org/api/single-executable-applications.html). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KEYRING_ASSET } from '../../src/cli/session/credential-store.ts';

export interface SeaContent {
  /** CommonJS. */
  readonly main: string;
  /** What it gets as the asset `program`. */
  readonly program: string;
  /** The native library for the keyring, of the executable's system and processor. */
  readonly keyring?: Buffer | undefined;
}

/**
 * Writes the files and a `sea.json` into a new folder, which is gone after `work`.
 * @param more keys of `sea.json`
 */
export function inSeaFolder<T>(
  { main, program, keyring }: SeaContent,
  more: Readonly<Record<string, string>>,
  work: (dir: string) => T,
): T {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-build-'));
  try {
    writeFileSync(join(dir, 'portcullis.cjs'), main);
    writeFileSync(join(dir, 'program.cjs'), program);
    if (keyring !== undefined) writeFileSync(join(dir, 'keyring.node'), keyring);
    // Relative names, because the blob repeats them.
    const config = {
      main: 'portcullis.cjs',
      assets: { program: 'program.cjs', ...(keyring === undefined ? {} : { [KEYRING_ASSET]: 'keyring.node' }) },
      disableExperimentalSEAWarning: true,
      ...more,
    };
    writeFileSync(join(dir, 'sea.json'), JSON.stringify(config));
    return work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
