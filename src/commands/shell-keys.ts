/**
 * The sealing keys of a command on the server's own shell, which is no replica. It seals with a key that the replicas use,
 * as they register it: a lock that none of them can open would hold nowhere, although its revocation is proven.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SealingKeys } from '../config/config.ts';
import { followSealingKeys } from '../config/followed-keys.ts';
import { SIGNS_AFTER_SECONDS } from '../config/keys.ts';
import { KeyAgreement } from '../core/credential/key-agreement.ts';
import type { KeysOfReplicas } from '../revocation/revocation.ts';

/** The registry is read in milliseconds, or not at all: a lock must not wait for long. */
const KNOWN_WITHIN_MS = 3_000;

export interface ShellKeys {
  readonly sealing: SealingKeys;
  /** Registers nothing, so that no replica waits for this process before it uses a key. */
  readonly ofReplicas: KeysOfReplicas;
  /**
   * Resolves once the keys of the replicas are known; after a while without, because the store hangs: then it is the oldest
   * key, which every replica has had for longest, and never one that may be in this shell's folder alone.
   */
  known(): Promise<void>;
  stop(): void;
}

/** @throws AppError `internal` (`keys_unusable`) if the directory holds no keys that can be used now */
export async function shellKeys(directory: string): Promise<ShellKeys> {
  const agreement = new KeyAgreement(SIGNS_AFTER_SECONDS * 1000);
  const first = Promise.withResolvers<void>();
  const ignore = (): void => undefined;
  const { keys, held, stop } = await followSealingKeys(directory, {
    keptSeconds: 0,
    clock: { nowMs: Date.now },
    agreement,
    onChange: ignore,
    onError: ignore,
  });
  return {
    sealing: keys,
    ofReplicas: {
      registered: () => ({ has: [], uses: [] }),
      seen(live, nowMs) {
        const { has, ...read } = held();
        agreement.seen(live, has, nowMs, read);
        first.resolve();
      },
      unseen: () => agreement.unseen(),
    },
    async known() {
      const late = delay(KNOWN_WITHIN_MS, 'late', { ref: false });
      const isLate = (await Promise.race([first.promise, late])) === 'late';
      // None is agreed upon, as far as is known here.
      if (isLate) agreement.seen([], [], performance.now());
    },
    stop,
  };
}
