/**
 * Keys that are added and removed while the server runs.
 *
 * A new key verifies from the next poll on and signs ten minutes after its `iat`, when every replica has it. A
 * removed key goes on to verify for as long as something that it signed a moment ago may live. A set with one
 * invalid file is rejected as a whole: half of it might lack the key that signs elsewhere.
 */
import type { Clock } from '../contracts/clock.ts';
import type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
import { followDirectory } from './followed-files.ts';
import { readKeyFiles, type Key, type KeyKind } from './key-files.ts';
import { auditKeysOf, readAuditKeys, sealingKeysOf, signingKeysOf, SIGNS_AFTER_SECONDS, type KeySet } from './keys.ts';

export interface FollowKeysOptions {
  /** Seconds for which a removed key goes on to verify, or to open. */
  readonly keptSeconds: number;
  readonly clock: Clock;
  readonly onChange: (kind: KeyKind, kids: readonly string[]) => void;
  /** A new set is invalid; the old one stays. Called once for each state of the directory. */
  readonly onError: (kind: KeyKind, error: Error) => void;
  /** After an error the directory contains again what was in use all the time. */
  readonly onRestored?: (kind: KeyKind) => void;
  /** Milliseconds between two polls. Default: a second. */
  readonly everyMs?: number;
}

/**
 * Keys that follow a directory. Each property is to be read at each use; it stays the same object until the keys,
 * or the one that signs, change.
 */
export interface Followed<K extends object> {
  readonly keys: K;
  readonly stop: () => void;
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followSigningKeys(directory: string, options: FollowKeysOptions): Promise<Followed<SigningKeys>> {
  const read = (): Promise<readonly Key[]> => readKeyFiles(directory, 'signing');
  const { view, stop } = await follow({ kind: 'signing', directory, read, viewOf: signingKeysOf }, options);
  const keys: SigningKeys = {
    get current() {
      return view().current;
    },
    get issuedAt() {
      return view().issuedAt;
    },
    get publicJwks() {
      return view().publicJwks;
    },
    get privateJwks() {
      return view().privateJwks;
    },
  };
  return { keys, stop };
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followSealingKeys(directory: string, options: FollowKeysOptions): Promise<Followed<SealingKeys>> {
  const read = (): Promise<readonly Key[]> => readKeyFiles(directory, 'sealing');
  const { view, stop } = await follow({ kind: 'sealing', directory, read, viewOf: sealingKeysOf }, options);
  const keys: SealingKeys = {
    get current() {
      return view().current;
    },
    get issuedAt() {
      return view().issuedAt;
    },
    get all() {
      return view().all;
    },
  };
  return { keys, stop };
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followAuditKeys(directory: string, options: FollowKeysOptions): Promise<Followed<AuditKeys>> {
  const read = (): Promise<readonly Key[]> => readAuditKeys(directory);
  const { view, stop } = await follow({ kind: 'audit', directory, read, viewOf: auditKeysOf }, options);
  const keys: AuditKeys = {
    get current() {
      return view().current;
    },
    get issuedAt() {
      return view().issuedAt;
    },
  };
  return { keys, stop };
}

interface KindOfKeys<V> {
  readonly kind: KeyKind;
  readonly directory: string;
  readonly read: () => Promise<readonly Key[]>;
  readonly viewOf: (set: KeySet, now: number) => V;
}

async function follow<V>(
  { kind, directory, read, viewOf }: KindOfKeys<V>,
  { keptSeconds, clock, onChange, onError, onRestored, everyMs }: FollowKeysOptions,
): Promise<{ readonly view: () => V; readonly stop: () => void }> {
  const ring = new KeyRing(viewOf, keptSeconds, () => Math.floor(clock.nowMs() / 1000));
  let refused = false;
  const take = async (): Promise<void> => {
    const kids = ring.take(await read());
    if (kids !== undefined) onChange(kind, kids);
    else if (refused) onRestored?.(kind);
    refused = false;
  };
  const reject = (error: Error): void => {
    refused = true;
    onError(kind, error);
  };
  // Followed before it is read for the first time, so that no change is missed between the two.
  const stop = followDirectory({ directory, apply: take, onError: reject }, everyMs);
  try {
    await take();
  } catch (error) {
    stop();
    throw error;
  }
  return { view: () => ring.view(), stop };
}

class KeyRing<V> {
  readonly #viewOf: (set: KeySet, now: number) => V;
  readonly #keptSeconds: number;
  /** Epoch seconds. */
  readonly #nowSeconds: () => number;
  #keys: readonly Key[] = [];
  #leaving: readonly { readonly key: Key; readonly until: number }[] = [];
  #view: { readonly is: V; readonly until: number } | undefined;

  constructor(viewOf: (set: KeySet, now: number) => V, keptSeconds: number, nowSeconds: () => number) {
    this.#viewOf = viewOf;
    this.#keptSeconds = keptSeconds;
    this.#nowSeconds = nowSeconds;
  }

  /** @returns every `kid` where this set differs from the one before; the first one is no change */
  take(keys: readonly Key[]): readonly string[] | undefined {
    const isNew = (kid: string, among: readonly Key[]): boolean => among.every((each) => each.kid !== kid);
    const before = this.#keys;
    const gone = before.filter(({ kid }) => isNew(kid, keys));
    const isOther = JSON.stringify(keys) !== JSON.stringify(before);
    const until = this.#nowSeconds() + this.#keptSeconds;
    this.#leaving = [
      ...this.#leaving.filter(({ key: { kid } }) => isNew(kid, keys)),
      ...gone.map((key) => ({ key, until })),
    ];
    this.#keys = keys;
    if (isOther) this.#view = undefined;
    return isOther && before.length > 0 ? keys.map(({ kid }) => kid) : undefined;
  }

  view(): V {
    const now = this.#nowSeconds();
    if (this.#view !== undefined && now < this.#view.until) return this.#view.is;
    this.#leaving = this.#leaving.filter(({ until }) => until > now);
    const changes = [
      ...this.#leaving.map(({ until }) => until),
      ...this.#keys.map(({ issuedAt }) => issuedAt + SIGNS_AFTER_SECONDS).filter((at) => at > now),
    ];
    const is = this.#viewOf({ keys: this.#keys, leaving: this.#leaving.map(({ key }) => key) }, now);
    this.#view = { is, until: Math.min(...changes, Number.POSITIVE_INFINITY) };
    return is;
  }
}
