/** The anchors of the audit log in Redis. */
import type { AnchorStore } from '../store.ts';
import type { RedisParts } from './parts.ts';
import { pairs } from './reply.ts';
import type { ChainPosition } from './runner.ts';
import * as scripts from './scripts.ts';

const MOST_CHAINS = 1000;

const NO_POSITION: ChainPosition = { epoch: '', number: 0, hash: '' };

export class RedisAnchors implements AnchorStore {
  readonly #parts: RedisParts;

  constructor(parts: RedisParts) {
    this.#parts = parts;
  }

  async put(chain: string, anchor: string): Promise<void> {
    const { runner, main } = this.#parts;
    await runner.runOnce(main, scripts.putAnchor, [chain, anchor, MOST_CHAINS], NO_POSITION);
  }

  async list(): Promise<readonly string[]> {
    const { runner, main } = this.#parts;
    const [, ...flat] = await runner.runOnce(main, scripts.listAnchors, [], NO_POSITION);
    return pairs(flat).map(([, anchor]) => anchor);
  }
}
