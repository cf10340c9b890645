/** The anchors of the audit log in memory. */
import type { AnchorStore } from '../store.ts';

const MOST_CHAINS = 1000;

export class MemoryAnchors implements AnchorStore {
  /** In the order of their last `put`. */
  readonly #anchors = new Map<string, string>();

  async put(chain: string, anchor: string): Promise<void> {
    this.#anchors.delete(chain);
    this.#anchors.set(chain, anchor);
    const [oldest] = this.#anchors.keys();
    if (this.#anchors.size > MOST_CHAINS && oldest !== undefined) this.#anchors.delete(oldest);
  }

  async list(): Promise<readonly string[]> {
    return [...this.#anchors.values()];
  }
}
