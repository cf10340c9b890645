import type { LiveEntry, LiveFilter, LiveLimits, LiveAuditLog, Subscription, SubscriptionState } from '../store.ts';
import { digest } from './keys.ts';
import type { News } from './news.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, pairs, text } from './reply.ts';
import type { ChainPlace } from './runner.ts';
import type { Script } from './scripts/head.ts';
import * as scripts from './scripts/live.ts';

/** Entries kept: about. A line and its seal are some two kilobytes. */
const MOST_ENTRIES = 1000;

const ANYWHERE: ChainPlace = { epoch: '', number: 0, hash: '' };

interface LiveParts extends RedisParts {
  readonly news: News;
}

export class RedisLive implements LiveAuditLog {
  readonly #parts: LiveParts;
  /** By their sealed text, because they are looked at every second; undefined for one that does not open. */
  #opened = new Map<string, LiveFilter | undefined>();

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  async want(tail: string, filter: LiveFilter, { ttlMs, most }: LiveLimits): Promise<SubscriptionState> {
    const { keys, sealer } = this.#parts;
    const same = digest(JSON.stringify(filter, Object.keys(filter).toSorted()));
    const sealed = await sealer.seal(filter, keys.sealedTail(tail));
    const ttl = cleanUpAfter(ttlMs / 1000);
    const [tag, place] = await this.#run(scripts.wantLive, [tail, same, sealed, ttlMs, most, MOST_ENTRIES, ttl]);
    if (tag === 'FULL') return { kind: 'full' };
    return place === '' ? { kind: 'stands' } : { kind: 'new', place: text(place) };
  }

  async leave(tail: string): Promise<void> {
    await this.#run(scripts.leaveLive, [tail]);
  }

  async wanted(replica: string): Promise<readonly Subscription[]> {
    const [, ...rows] = await this.#run(scripts.wantedLive, [replica]);
    const opened = new Map<string, LiveFilter | undefined>();
    const wanted: Subscription[] = [];
    for (const row of rows) {
      const [tail = '', same = '', sealed = '', taken] = list(row).map(text);
      const filter = this.#opened.has(sealed) ? this.#opened.get(sealed) : await this.#open(tail, sealed);
      opened.set(sealed, filter);
      if (filter !== undefined) wanted.push({ wish: `${tail} ${same}`, filter, taken: taken === '1' });
    }
    this.#opened = opened;
    return wanted;
  }

  async takeUp(replica: string, wishes: readonly string[]): Promise<void> {
    await this.#run(scripts.takeUpLive, [replica, ...wishes]);
  }

  async isTakenUp(tail: string): Promise<boolean> {
    return number((await this.#run(scripts.isTakenUpLive, [tail]))[1]) === 1;
  }

  async waitForWish(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const wait = this.#parts.news.wait('wishes');
    signal.addEventListener('abort', wait.stop, { once: true });
    await wait.heard;
    signal.removeEventListener('abort', wait.stop);
    wait.stop();
  }

  async publish(texts: readonly string[]): Promise<void> {
    const { keys, sealer } = this.#parts;
    const sealed = await Promise.all(texts.map((one) => sealer.seal(one, keys.sealedLive)));
    await this.#run(scripts.publishLive, [MOST_ENTRIES, cleanUpAfter(0), ...sealed]);
  }

  async read(place: string, limit: number): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }> {
    const [, found, ...flat] = await this.#run(scripts.readLive, [place, limit]);
    const entries = pairs(flat).map(async ([at, sealed]): Promise<LiveEntry> => {
      const opened = sealed === '' ? undefined : await this.#text(sealed);
      return opened === undefined ? { place: at } : { place: at, text: opened };
    });
    return { entries: await Promise.all(entries), gap: number(found) === 0 };
  }

  async #text(sealed: string): Promise<string | undefined> {
    const { keys, sealer, reportTampered } = this.#parts;
    const opened = await sealer.open(sealed, keys.sealedLive);
    if (typeof opened === 'string') return opened;
    reportTampered('live record');
    return undefined;
  }

  async #open(tail: string, sealed: string): Promise<LiveFilter | undefined> {
    const { keys, sealer, reportTampered } = this.#parts;
    const opened = await sealer.open(sealed, keys.sealedTail(tail));
    if (typeof opened === 'object' && opened !== null) return opened as LiveFilter;
    reportTampered('tail');
    return undefined;
  }

  #run(script: Script, args: readonly (string | number)[]): Promise<readonly unknown[]> {
    return this.#parts.runner.runOnce(this.#parts.main, script, args, ANYWHERE);
  }
}
