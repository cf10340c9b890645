/**
 * `locks` and `unlock`, for admins.
 */
import { askAdmin } from '../admin-api.ts';
import { locateEntry } from '../cache.ts';
import { fault } from '../fault.ts';
import { arrayAt, isRecord, stringAt } from '../json-shape.ts';
import type { Laptop } from '../laptop.ts';
import { plainJson, plainText } from '../plain-text.ts';
import { table } from '../table.ts';
import { whichServer, type ServerOptions } from '../which-server.ts';

export async function locks(laptop: Laptop, options: ServerOptions & { readonly output?: string }): Promise<void> {
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const { body } = await askAdmin(laptop, entry, { method: 'GET', path: 'locks' });
  const found = arrayAt(body, 'locks').filter(isRecord);
  if (options.output === 'json') return laptop.print(`${plainJson({ locks: found })}\n`);
  if (found.length === 0) return laptop.say('no account is locked');
  const rows = found.map((lock) => ['account', 'by', 'at', 'reason'].map((key) => stringAt(lock, key) ?? ''));
  laptop.print(table(['ACCOUNT', 'BY', 'AT', 'REASON'], rows));
}

export interface UnlockOptions extends ServerOptions {
  readonly all?: true;
  readonly reason?: string;
}

/** @throws AppError `bad_request` where it is not said which account and why, `not_found` where it is not locked */
export async function unlock(laptop: Laptop, account: string | undefined, options: UnlockOptions): Promise<void> {
  const { reason, all } = options;
  if (all === true) throw fault('bad_request', '--all is for the server’s own shell, with --config.');
  if (account === undefined || reason === undefined) {
    const next = 'portcullis unlock PROVIDER/SUBJECT --reason …; portcullis locks lists them';
    throw fault('bad_request', 'Say which account to unlock, and why.', next);
  }
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const query = new URLSearchParams({ reason });
  const path = `locks/${encodeURIComponent(account)}?${query.toString()}`;
  await askAdmin(laptop, entry, { method: 'DELETE', path });
  laptop.say(`${plainText(account, 512)} is unlocked and can sign in again`);
}
