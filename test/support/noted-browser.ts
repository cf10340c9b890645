/** A browser for `$BROWSER` that writes down each tab that it is asked to open, and signs in there or leaves that to the test. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HEADLESS = fileURLToPath(new URL('../../demo/headless-browser.ts', import.meta.url));

export interface NotedBrowser {
  /** For `$BROWSER`. */
  readonly command: string;
  /** Addresses so far, oldest first. */
  tabs(): Promise<readonly string[]>;
}

/** @param then what it does once it has noted the tab; `sign-in` does it as `PORTCULLIS_DEMO_USER` */
export async function notedBrowser(
  folder: string,
  name: string,
  then: 'sign-in' | 'nothing' | 'find-no-browser' = 'sign-in',
): Promise<NotedBrowser> {
  const command = join(folder, name);
  const notes = `${command}.tabs`;
  const rest = { 'sign-in': `exec '${process.execPath}' '${HEADLESS}' "$1"`, nothing: '', 'find-no-browser': 'exit 3' };
  await writeFile(command, `#!/bin/sh\nprintf '%s\\n' "$1" >> '${notes}'\n${rest[then]}\n`, { mode: 0o755 });
  return {
    command,
    tabs: async () => (await readFile(notes, 'utf8').catch(() => '')).split('\n').filter((line) => line !== ''),
  };
}
