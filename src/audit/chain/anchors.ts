/**
 * Anchors: where each chain stands, kept outside the files. Who edits a file, or cuts its end, cannot edit these.
 *
 * Signed as well, because whoever may write to where they are kept is not trusted with the record either: they can take an anchor away, and
 * never make one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CompactSign, importJWK } from 'jose';
import type { AuditLog } from '../types.ts';
import type { AuditKey } from './chain.ts';
import type { ChainHead } from './chain-facts.ts';

/** Keeps one anchor a chain; room `store` has it. */
export interface AnchorStore {
  /** In place of the chain's last one. */
  put(chain: string, anchor: string): Promise<void>;
}

export interface Anchor extends ChainHead {
  readonly replica: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** `typ` of the JWS: no other thing that a key may sign is taken for an anchor. */
export const ANCHOR_TYPE = 'portcullis-anchor';

const EVERY_MS = 5000;
/** A sink that cannot write must not keep the others' lines from being anchored. */
const FLUSH_MS = 2000;

export interface AnchorOptions {
  readonly trail: { readonly head: ChainHead | undefined; flush(): Promise<void> };
  /** Read at each anchor: keys are rotated. Absent: nothing is anchored. */
  readonly key?: AuditKey | undefined;
  readonly replica: string;
  readonly store: AnchorStore;
  readonly logger: Pick<AuditLog, 'info'>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Milliseconds between two. Default: five seconds. */
  readonly everyMs?: number;
}

/**
 * Anchors the head of the chain now and then while it moves. Never in the way of a request.
 * @returns anchors once more and ends it; never rejects. To be called when the trail is closed, so that the closing line is anchored too
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
    const { trail, key, replica, store, logger, now = Date.now } = this.#options;
    const { head } = trail;
    if (key === undefined || head === undefined || head.seq === this.#anchored) return;
    try {
      // What a crash takes with it from memory must not be missed afterwards as if somebody had cut it off.
      await Promise.race([trail.flush(), delay(FLUSH_MS, undefined, { ref: false })]);
      await store.put(head.chain, await signAnchor({ ...head, replica, at: now() }, key));
      this.#anchored = head.seq;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed)
        logger.info({ err: error }, 'the audit chain could not be anchored; tried again every few seconds');
      this.#failed = true;
    }
  }
}

/** @returns a compact JWS (RFC 7515), ES256 */
export const signAnchor = async (anchor: Anchor, { kid, privateJwk }: AuditKey): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(anchor)))
    .setProtectedHeader({ alg: 'ES256', typ: ANCHOR_TYPE, kid })
    .sign(await importJWK(privateJwk, 'ES256'));
