/**
 * Anchors: the position of each chain, kept outside the files. An attacker who edits a file, or cuts off its end,
 * cannot edit these.
 *
 * They are signed as well, because a user who can write to their store is not trusted with the audit log either:
 * such a user can remove an anchor, but never forge one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CompactSign, importJWK } from 'jose';
import type { Logger } from '../../contracts/logger.ts';
import type { AuditKey } from './chain.ts';
import type { ChainHead } from './chain-facts.ts';

/** Keeps one anchor per chain; the `store` module implements it. */
export interface AnchorStore {
  /** Replaces the chain's last anchor. */
  put(chain: string, anchor: string): Promise<void>;
}

export interface Anchor extends ChainHead {
  readonly replica: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** `typ` of the JWS, so that nothing else that the key signs passes for an anchor. */
export const ANCHOR_TYPE = 'portcullis-anchor';

const EVERY_MS = 5000;
/** A sink that cannot write must not keep the lines of the others from being anchored. */
const FLUSH_MS = 2000;

export interface AnchorOptions {
  readonly trail: { readonly head: ChainHead | undefined; flush(): Promise<void> };
  /** Read at each anchor, because keys are rotated. Absent: nothing is anchored. */
  readonly key?: AuditKey | undefined;
  readonly replica: string;
  readonly store: AnchorStore;
  readonly logger: Pick<Logger, 'info'>;
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number;
  /** Milliseconds between two anchors. Default: five seconds. */
  readonly everyMs?: number;
}

/**
 * Anchors the head of the chain periodically while it moves. Never delays a request.
 * @returns a function that anchors once more and ends it; never rejects. Call it when the trail is closed, so that
 * the closing line is anchored too
 */
export function startAnchors(options: AnchorOptions): () => Promise<void> {
  const anchors = new Anchors(options);
  return () => anchors.stop();
}

class Anchors {
  readonly #options: AnchorOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void>;
  #anchored = 0;
  #failed = false;
  #stopped = false;

  constructor(options: AnchorOptions) {
    this.#options = options;
    this.#round = this.#anchor();
    this.#next();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
    await this.#anchor();
  }

  #next(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#anchor().finally(() => this.#next());
    }, this.#options.everyMs ?? EVERY_MS).unref();
  }

  async #anchor(): Promise<void> {
    const { trail, key, replica, store, logger, nowMs = Date.now } = this.#options;
    const { head } = trail;
    if (key === undefined || head === undefined || head.seq === this.#anchored) return;
    try {
      // Lines that a crash loses from memory must not look like lines that an attacker cut off.
      await Promise.race([trail.flush(), delay(FLUSH_MS, undefined, { ref: false })]);
      await store.put(head.chain, await signAnchor({ ...head, replica, at: nowMs() }, key));
      this.#anchored = head.seq;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed)
        logger.info({ err: error }, 'the audit chain could not be anchored; this is retried every few seconds');
      this.#failed = true;
    }
  }
}

/** @returns a compact JWS (RFC 7515), ES256 */
export const signAnchor = async (anchor: Anchor, { kid, privateJwk }: AuditKey): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(anchor)))
    .setProtectedHeader({ alg: 'ES256', typ: ANCHOR_TYPE, kid })
    .sign(await importJWK(privateJwk, 'ES256'));
