/** Re-encrypts with the current key what an older one sealed. */
import type { ReencryptOutcome, SealedValues } from '../store.ts';
import { reencryptGrants } from './access-fields.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, pairs, text } from './reply.ts';
import type { Script } from './lua.ts';
import * as scripts from './scripts.ts';
import type { KnownLocks } from './known-locks.ts';

/** Sessions of one page: a script of about a millisecond. */
const PAGE = 20;
/** A page and the pause after it are far shorter. */
const CLAIM_SECONDS = 60;
/** How long one replica's check that found nothing is good enough for the others. */
const CHECK_EVERY_SECONDS = 3600;

/** A sealed value and where it is stored. */
interface SealedValue {
  readonly key: string;
  /** The field of a hash, or the id of a stream's entry. */
  readonly at: string;
  readonly value: string;
}

/**
 * Re-encrypts values that an older key sealed: locks, sessions, what belongs to a session, and access requests. All else
 * lives for minutes.
 *
 * A value that was read, opened and sealed again could overwrite a newer one that a re-check has just written. So
 * each replaces only the exact value that was read.
 */
export class RedisSealedValues implements SealedValues {
  readonly #parts: RedisParts;
  readonly #knownLocks: Pick<KnownLocks, 'invalidate'>;

  constructor(parts: RedisParts, knownLocks: Pick<KnownLocks, 'invalidate'>) {
    this.#parts = parts;
    this.#knownLocks = knownLocks;
  }

  async reencrypt(holder: string, pause: () => Promise<void>): Promise<ReencryptOutcome> {
    // This replica would write the locks that it knows back as they were sealed before, so it reads them again.
    this.#knownLocks.invalidate();
    const { sealer } = this.#parts;
    if (!sealer.hasOlder) return { kind: 'done', found: 0 };
    const kid = sealer.currentKid;
    const claimed = await this.#claim(holder, kid);
    if (claimed === 'DONE') return { kind: 'done', found: 0 };
    if (claimed !== 'OK') return { kind: 'elsewhere' };
    let found = await this.#locks(kid);
    for (const script of [scripts.findSealed, scripts.findSealedRequests]) {
      for (let after = ''; ;) {
        const page = await this.#page(script, kid, after);
        found += page.found;
        after = page.last;
        if (after === '') break;
        await pause();
        // Another replica has taken over, or the current key has changed: the next round starts again.
        if ((await this.#claim(holder, kid)) !== 'OK' || sealer.currentKid !== kid) return { kind: 'elsewhere' };
      }
    }
    const ended = [holder, found === 0 ? kid : '', cleanUpAfter(2 * CHECK_EVERY_SECONDS)];
    await this.#parts.runner.run(this.#parts.main, scripts.endReencryption, ended);
    return { kind: 'done', found };
  }

  async #claim(holder: string, kid: string): Promise<string> {
    const { runner, main, clock } = this.#parts;
    const now = clock.nowMs();
    const [until, since] = [now + CLAIM_SECONDS * 1000, now - CHECK_EVERY_SECONDS * 1000];
    const ttl = cleanUpAfter(2 * CHECK_EVERY_SECONDS);
    return text((await runner.run(main, scripts.claimReencryption, [holder, until, kid, since, ttl]))[0]);
  }

  async #locks(kid: string): Promise<number> {
    const { runner, main, keys } = this.#parts;
    const mark = this.#mark(kid);
    const sealed = pairs((await runner.run(main, scripts.readLocks, []))[2]).filter(
      ([, value]) => !value.startsWith(mark),
    );
    const found = sealed.map(([hash, value]) => ({ key: `${keys.base}lock`, at: hash, value }));
    return await this.#values(found);
  }

  async #page(script: Script, kid: string, after: string): Promise<{ readonly found: number; readonly last: string }> {
    const { runner, main } = this.#parts;
    const reply = await runner.run(main, script, [after, PAGE, this.#mark(kid)]);
    const [, last, values, entries] = reply;
    const found = (await this.#values(foundValues(values))) + (await this.#streams(foundValues(entries)));
    return { found, last: text(last) };
  }

  /** @returns how many could be opened; the others were sealed by a key that no longer exists */
  async #values(found: readonly SealedValue[]): Promise<number> {
    const { runner, main } = this.#parts;
    const opened = await this.#reencrypted(found);
    if (opened.length === 0) return 0;
    await runner.run(
      main,
      scripts.replaceValues,
      opened.flatMap(({ key, at, value, reencrypted }) => [key, at, value, reencrypted]),
    );
    return opened.length;
  }

  async #streams(found: readonly SealedValue[]): Promise<number> {
    const { runner, main } = this.#parts;
    let count = 0;
    for (const [key, entries] of Map.groupBy(found, (entry) => entry.key)) {
      const opened = await this.#reencrypted(entries);
      // As a whole or not at all: one that cannot be opened would look like one that arrived meanwhile.
      if (opened.length < entries.length) continue;
      const flat = opened.flatMap(({ at, value, reencrypted }) => [at, value, reencrypted]);
      await runner.run(main, scripts.replaceStream, [key, ...flat]);
      count += opened.length;
    }
    return count;
  }

  async #reencrypted(
    found: readonly SealedValue[],
  ): Promise<readonly (SealedValue & { readonly reencrypted: string })[]> {
    const { sealer } = this.#parts;
    const all = found.map(async (one) => {
      if (one.at === 'gr') {
        const grants = await reencryptGrants(this.#parts, one.key, one.value);
        return grants === undefined ? [] : [{ ...one, reencrypted: grants }];
      }
      const context = this.#contextOf(one);
      const opened = await sealer.open(one.value, context);
      return opened === undefined ? [] : [{ ...one, reencrypted: await sealer.seal(opened, context) }];
    });
    return (await Promise.all(all)).flat();
  }

  #contextOf({ key, at }: SealedValue): string {
    const { keys } = this.#parts;
    if (key === `${keys.base}lock`) return keys.sealedLock(at);
    if (at === 'r') return `${key}#record`;
    if (at === 'd') return `${key}#delegated`;
    return at === 'x' ? `${key}#secret` : key;
  }

  #mark(kid: string): string {
    const { sealer, keys } = this.#parts;
    return sealer.mark(kid, keys.base);
  }
}

function foundValues(reply: unknown): readonly SealedValue[] {
  const flat = list(reply).map(text);
  return flat.flatMap((key, index) =>
    index % 3 === 0 ? [{ key, at: flat[index + 1] ?? '', value: flat[index + 2] ?? '' }] : [],
  );
}
