/** Recent requests of sessions in Redis. */
import { MOST_RECENT, newestOf, newestSeconds } from '../recent.ts';
import type { RecentRequest, RecentStore } from '../store.ts';
import { sessionDigest } from './keys.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, text } from './reply.ts';
import * as scripts from './scripts.ts';

export class RedisRecent implements RecentStore {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async add(session: string, requests: readonly RecentRequest[]): Promise<void> {
    const { runner, main, sealer, keys } = this.#parts;
    const kept = requests.slice(-MOST_RECENT);
    if (kept.length === 0) return;
    const hash = sessionDigest(session);
    const sealed = await sealer.seal(kept, keys.sealedRecent(hash));
    const newest = newestSeconds(kept);
    await runner.run(main, scripts.addRecent, [hash, sealed, kept.length, MOST_RECENT, cleanUpAfter(0), newest]);
  }

  async read(session: string, most?: number): Promise<readonly RecentRequest[]> {
    const { runner, main } = this.#parts;
    const hash = sessionDigest(session);
    const [, blobs] = await runner.run(main, scripts.readRecent, [hash, most ?? '']);
    const opened = await Promise.all(list(blobs).map((sealed) => this.#open(hash, text(sealed))));
    return newestOf(opened.flat()).slice(0, most);
  }

  async #open(hash: string, sealed: string): Promise<readonly RecentRequest[]> {
    const { sealer, keys, reportTampered } = this.#parts;
    const opened = await sealer.open(sealed, keys.sealedRecent(hash));
    if (Array.isArray(opened)) return opened as readonly RecentRequest[];
    reportTampered('recent requests');
    return [];
  }
}
