import type { ResealOutcome, SealedValues } from '../store.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, pairs, text } from './reply.ts';
import { readLocks } from './scripts/locks.ts';
import * as scripts from './scripts/reencrypt.ts';
import type { Survivor } from './known-locks.ts';

/** Sessions of one page: a script of about a millisecond. */
const PAGE = 20;
/** A page and the pause behind it are far shorter. */
const CLAIM_SECONDS = 60;
/** Somebody looked and found nothing: good enough for the others for so long. */
const LOOK_EVERY_SECONDS = 3600;

/** A sealed value where it stands. */
interface Found {
  readonly key: string;
  /** A hash's field, or a stream's entry. */
  readonly at: string;
  readonly value: string;
}

/**
 * Seals anew what an older key sealed: locks, sessions, what belongs to a session. All else lives for minutes.
 *
 * Threat: a value that was read, opened and sealed anew might undo a newer one, as a re-check has just written it. Each is put in the place of
 * what was read and of nothing else.
 */
export class RedisSealed implements SealedValues {
  readonly #parts: RedisParts;
  readonly #survivor: Pick<Survivor, 'joined'>;

  constructor(parts: RedisParts, survivor: Pick<Survivor, 'joined'>) {
    this.#parts = parts;
    this.#survivor = survivor;
  }

  async reseal(holder: string, pause: () => Promise<void>): Promise<ResealOutcome> {
    // What it knows of locks it would write back as it was sealed: it reads them again.
    this.#survivor.joined();
    const { sealer } = this.#parts;
    if (!sealer.hasOlder) return { kind: 'looked', found: 0 };
    const kid = sealer.currentKid;
    const claimed = await this.#claim(holder, kid);
    if (claimed === 'DONE') return { kind: 'looked', found: 0 };
    if (claimed !== 'OK') return { kind: 'elsewhere' };
    let found = await this.#locks(kid);
    for (let after: string | undefined = ''; after !== undefined;) {
      const page: { readonly found: number; readonly last: string } = await this.#page(kid, after);
      found += page.found;
      after = page.last === '' ? undefined : page.last;
      if (after === undefined) break;
      await pause();
      // Another has taken it over, or the key that seals is another one: the next round begins anew.
      if ((await this.#claim(holder, kid)) !== 'OK' || sealer.currentKid !== kid) return { kind: 'elsewhere' };
    }
    const ended = [holder, found === 0 ? kid : '', cleanUpAfter(2 * LOOK_EVERY_SECONDS)];
    await this.#parts.runner.run(this.#parts.main, scripts.endReseal, ended);
    return { kind: 'looked', found };
  }

  async #claim(holder: string, kid: string): Promise<string> {
    const { runner, main, clock } = this.#parts;
    const now = clock.now();
    const [until, since] = [now + CLAIM_SECONDS * 1000, now - LOOK_EVERY_SECONDS * 1000];
    const ttl = cleanUpAfter(2 * LOOK_EVERY_SECONDS);
    return text((await runner.run(main, scripts.claimReseal, [holder, until, kid, since, ttl]))[0]);
  }

  async #locks(kid: string): Promise<number> {
    const { runner, main, keys } = this.#parts;
    const mark = this.#mark(kid);
    const sealed = pairs((await runner.run(main, readLocks, []))[2]).filter(([, value]) => !value.startsWith(mark));
    const found = sealed.map(([hash, value]) => ({ key: `${keys.base}lock`, at: hash, value }));
    return await this.#values(found);
  }

  async #page(kid: string, after: string): Promise<{ readonly found: number; readonly last: string }> {
    const { runner, main } = this.#parts;
    const reply = await runner.run(main, scripts.findSealed, [after, PAGE, this.#mark(kid)]);
    const [, last, values, entries] = reply;
    const found = (await this.#values(places(values))) + (await this.#streams(places(entries)));
    return { found, last: text(last) };
  }

  /** @returns how many opened: what does not is sealed by no key that there is */
  async #values(found: readonly Found[]): Promise<number> {
    const { runner, main } = this.#parts;
    const opened = await this.#anew(found);
    if (opened.length === 0) return 0;
    await runner.run(
      main,
      scripts.resealValues,
      opened.flatMap(({ key, at, value, anew }) => [key, at, value, anew]),
    );
    return opened.length;
  }

  async #streams(found: readonly Found[]): Promise<number> {
    const { runner, main } = this.#parts;
    let count = 0;
    for (const [key, entries] of Map.groupBy(found, (entry) => entry.key)) {
      const opened = await this.#anew(entries);
      // As a whole or not at all: one that does not open would be taken for one that came meanwhile.
      if (opened.length < entries.length) continue;
      const flat = opened.flatMap(({ at, value, anew }) => [at, value, anew]);
      await runner.run(main, scripts.resealStream, [key, ...flat]);
      count += opened.length;
    }
    return count;
  }

  async #anew(found: readonly Found[]): Promise<readonly (Found & { readonly anew: string })[]> {
    const { sealer } = this.#parts;
    const all = found.map(async (one) => {
      const context = this.#contextOf(one);
      const opened = await sealer.open(one.value, context);
      return opened === undefined ? [] : [{ ...one, anew: await sealer.seal(opened, context) }];
    });
    return (await Promise.all(all)).flat();
  }

  #contextOf({ key, at }: Found): string {
    const { keys } = this.#parts;
    if (key === `${keys.base}lock`) return keys.sealedLock(at);
    if (at === 'r') return `${key}#record`;
    return at === 'x' ? `${key}#secret` : key;
  }

  #mark(kid: string): string {
    const { sealer, keys } = this.#parts;
    return sealer.mark(kid, keys.base);
  }
}

function places(reply: unknown): readonly Found[] {
  const flat = list(reply).map(text);
  return flat.flatMap((key, index) =>
    index % 3 === 0 ? [{ key, at: flat[index + 1] ?? '', value: flat[index + 2] ?? '' }] : [],
  );
}
