/** The session cache of a command line under test, read and changed as only time and other programs would. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Cached {
  readonly person: { readonly sessionId: string };
  readonly binding: { readonly certificate: string };
  readonly tokens: Record<string, { token: string; receivedAt: number; expiresAt: number }>;
}

async function folderOf(cacheDir: string): Promise<string> {
  const name = (await readdir(cacheDir)).find((entry) => /^[0-9a-f]{32}$/.test(entry));
  return join(cacheDir, name ?? 'no-user-is-signed-in');
}

export async function cachedSession(cacheDir: string): Promise<Cached> {
  return JSON.parse(await readFile(join(await folderOf(cacheDir), 'session.json'), 'utf8')) as Cached;
}

/** Makes every token older, by its clock. */
export async function ageTokens(cacheDir: string, seconds: number): Promise<void> {
  const folder = await folderOf(cacheDir);
  const session = await cachedSession(cacheDir);
  for (const token of Object.values(session.tokens)) {
    token.receivedAt -= seconds * 1000;
    token.expiresAt -= seconds * 1000;
  }
  // What was made of the session for the shell front says when the old one ends.
  for (const name of await readdir(folder)) if (name.startsWith('ready')) await rm(join(folder, name));
  await writeFile(join(folder, 'session.json'), JSON.stringify(session), { mode: 0o600 });
}
