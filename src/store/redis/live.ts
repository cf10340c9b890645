/** The live audit log in Redis. */
import type { LiveEntry, LiveFilter, LiveLimits, LiveAuditLog, Subscription, SubscriptionState } from '../store.ts';
import { digest } from './keys.ts';
import type { News } from './news.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, pairs, text } from './reply.ts';
import type { ChainPosition } from './runner.ts';
import type { Script } from './lua.ts';
import * as scripts from './scripts.ts';

/** Approximate number of entries kept. A sealed entry takes some two kilobytes. */
const MOST_ENTRIES = 1000;

const NO_POSITION: ChainPosition = { epoch: '', number: 0, hash: '' };

interface LiveParts extends RedisParts {
  readonly news: News;
}

export class RedisLive implements LiveAuditLog {
  readonly #parts: LiveParts;
  /** By their sealed text, because they are read every second; undefined for one that cannot be opened. */
  #opened = new Map<string, LiveFilter | undefined>();

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  async subscribe(tail: string, filter: LiveFilter, { ttlMs, most }: LiveLimits): Promise<SubscriptionState> {
    const { keys, sealer } = this.#parts;
    const same = digest(JSON.stringify(filter, Object.keys(filter).toSorted()));
    const sealed = await sealer.seal(filter, keys.sealedTail(tail));
    const ttl = cleanUpAfter(ttlMs / 1000);
    const [tag, position] = await this.#run(scripts.subscribeLive, [
      tail,
      same,
      sealed,
      ttlMs,
      most,
      MOST_ENTRIES,
      ttl,
    ]);
    if (tag === 'FULL') return { kind: 'full' };
    return position === '' ? { kind: 'stands' } : { kind: 'new', position: text(position) };
  }

  async unsubscribe(tail: string): Promise<void> {
    await this.#run(scripts.unsubscribeLive, [tail]);
  }

  async subscriptions(replica: string): Promise<readonly Subscription[]> {
    const [, ...rows] = await this.#run(scripts.subscriptionsLive, [replica]);
    const opened = new Map<string, LiveFilter | undefined>();
    const subscriptions: Subscription[] = [];
    for (const row of rows) {
      const [tail = '', same = '', sealed = '', accepted] = list(row).map(text);
      const filter = this.#opened.has(sealed) ? this.#opened.get(sealed) : await this.#open(tail, sealed);
      opened.set(sealed, filter);
      if (filter !== undefined) subscriptions.push({ id: `${tail} ${same}`, filter, accepted: accepted === '1' });
    }
    this.#opened = opened;
    return subscriptions;
  }

  async accept(replica: string, subscriptions: readonly string[]): Promise<void> {
    await this.#run(scripts.acceptLive, [replica, ...subscriptions]);
  }

  async isAcceptedByAll(tail: string): Promise<boolean> {
    return number((await this.#run(scripts.isAcceptedLive, [tail]))[1]) === 1;
  }

  async waitForSubscription(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const wait = this.#parts.news.wait('subscriptions');
    signal.addEventListener('abort', wait.stop, { once: true });
    await wait.notified;
    signal.removeEventListener('abort', wait.stop);
    wait.stop();
  }

  async publish(texts: readonly string[]): Promise<void> {
    const { keys, sealer } = this.#parts;
    const sealed = await Promise.all(texts.map((one) => sealer.seal(one, keys.sealedLive)));
    await this.#run(scripts.publishLive, [MOST_ENTRIES, cleanUpAfter(0), ...sealed]);
  }

  async read(
    position: string,
    limit: number,
  ): Promise<{ readonly entries: readonly LiveEntry[]; readonly gap: boolean }> {
    const [, found, ...flat] = await this.#run(scripts.readLive, [position, limit]);
    const entries = pairs(flat).map(async ([at, sealed]): Promise<LiveEntry> => {
      const opened = sealed === '' ? undefined : await this.#text(sealed);
      return opened === undefined ? { position: at } : { position: at, text: opened };
    });
    return { entries: await Promise.all(entries), gap: number(found) === 0 };
  }

  async #text(sealed: string): Promise<string | undefined> {
    const { keys, sealer, reportTampered } = this.#parts;
    const opened = await sealer.open(sealed, keys.sealedLive);
    if (typeof opened === 'string') return opened;
    reportTampered('live audit log');
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
    return this.#parts.runner.runOnce(this.#parts.main, script, args, NO_POSITION);
  }
}
