/**
 * Keys that are added and removed while the server runs.
 *
 * A new key verifies from the next poll on. It signs ten minutes after its `iat`, and once every live replica has had
 * it for as long (`KeyAgreement`). A removed key goes on to verify for as long as something that it signed a moment
 * ago may live. A set with one invalid file is rejected as a whole: half of it might lack the key that signs elsewhere.
 */
import type { Clock } from '../contracts/clock.ts';
import {
  keyId,
  keyThumbprint,
  type KeyAgreement,
  type KeyStanding,
  type Thumbprints,
} from '../core/credential/key-agreement.ts';
import type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
import { followDirectory } from './followed-files.ts';
import { readKeyFiles, unusable, type Key, type KeyKind } from './key-files.ts';
import {
  auditKeysOf,
  chooseCurrent,
  readAuditKeys,
  sealingKeysOf,
  signingKeysOf,
  SIGNS_AFTER_SECONDS,
  type KeySet,
} from './keys.ts';

export interface FollowKeysOptions {
  /** Seconds for which a removed key goes on to verify, or to open. */
  readonly keptSeconds: number;
  readonly clock: Clock;
  /** What is known of the other replicas' keys. */
  readonly agreement: KeyAgreement;
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
  readonly held: () => HeldKeys;
  readonly stop: () => void;
}

/** The keys of one kind by their ids, for the registry of replicas. */
export interface HeldKeys {
  /**
   * In the directory. An operator puts a key back that was removed a moment ago: another replica would use it at once,
   * and this one, which has not read it again, would soon reject what that signs. So removed ones are not among them.
   */
  readonly has: readonly string[];
  /** It can verify with these, or open: also those that were removed a moment ago. */
  readonly reads: readonly string[];
  readonly uses: string;
  /** Of all that it reads, by id. */
  readonly thumbprints: Thumbprints;
  /** Newer than the one in use and old enough, and not used because live replicas cannot read it. */
  readonly lacked: readonly { readonly kid: string; readonly replicas: readonly string[] }[];
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followSigningKeys(directory: string, options: FollowKeysOptions): Promise<Followed<SigningKeys>> {
  const read = (): Promise<readonly Key[]> => readKeyFiles(directory, 'signing');
  const { view, held, stop } = await follow({ kind: 'signing', directory, read, viewOf: signingKeysOf }, options);
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
  return { keys, held, stop };
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followSealingKeys(directory: string, options: FollowKeysOptions): Promise<Followed<SealingKeys>> {
  const read = (): Promise<readonly Key[]> => readKeyFiles(directory, 'sealing');
  const { view, held, stop } = await follow({ kind: 'sealing', directory, read, viewOf: sealingKeysOf }, options);
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
  return { keys, held, stop };
}

/** @throws AppError `internal` (`keys_unusable`) as `loadSigningKeys` */
export async function followAuditKeys(directory: string, options: FollowKeysOptions): Promise<Followed<AuditKeys>> {
  const read = (): Promise<readonly Key[]> => readAuditKeys(directory);
  const { view, held, stop } = await follow({ kind: 'audit', directory, read, viewOf: auditKeysOf }, options);
  const keys: AuditKeys = {
    get current() {
      return view().current;
    },
    get issuedAt() {
      return view().issuedAt;
    },
  };
  return { keys, held, stop };
}

interface KindOfKeys<V> {
  readonly kind: KeyKind;
  readonly directory: string;
  readonly read: () => Promise<readonly Key[]>;
  readonly viewOf: (set: KeySet) => V;
}

async function follow<V>(
  { kind, directory, read, viewOf }: KindOfKeys<V>,
  { keptSeconds, clock, agreement, onChange, onError, onRestored, everyMs }: FollowKeysOptions,
): Promise<{ readonly view: () => V; readonly held: () => HeldKeys; readonly stop: () => void }> {
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000);
  const ring = new KeyRing({ kind, viewOf, keptSeconds, nowSeconds, agreement });
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
  return { view: () => ring.view(), held: () => ring.held(), stop };
}

const OWN_KID = 'a kid of its own: another key has had this one until now';

const isSameKey = ({ jwk: one }: Key, { jwk: other }: Key): boolean =>
  one.k === other.k && one.x === other.x && one.y === other.y;

interface KeyRingParts<V> {
  readonly kind: KeyKind;
  readonly viewOf: (set: KeySet) => V;
  readonly keptSeconds: number;
  /** Epoch seconds. */
  readonly nowSeconds: () => number;
  readonly agreement: KeyAgreement;
}

interface CurrentView<V> {
  readonly is: V;
  readonly set: KeySet;
  /** Epoch seconds at which time alone may change it. */
  readonly until: number;
  /** Of the agreement. */
  readonly revision: number;
}

class KeyRing<V> {
  readonly #parts: KeyRingParts<V>;
  #keys: readonly Key[] = [];
  #leaving: readonly { readonly key: Key; readonly until: number }[] = [];
  #view: CurrentView<V> | undefined;
  /** `kid` of the one that signs or seals, from the moment at which the other replicas are known. */
  #inUse: string | undefined;

  constructor(parts: KeyRingParts<V>) {
    this.#parts = parts;
  }

  /**
   * @returns every `kid` where this set differs from the one before; the first one is no change
   * @throws AppError `internal` (`keys_unusable`) if another key has a known `kid`: keys are known by it, so no replica
   *   could tell that the others cannot verify what it signs
   */
  take(keys: readonly Key[]): readonly string[] | undefined {
    const now = this.#parts.nowSeconds();
    const leaving = this.#leaving.filter(({ until }) => until > now);
    const known = [...this.#keys, ...leaving.map(({ key }) => key)];
    const replaced = keys.filter((key) => known.some((each) => each.kid === key.kid && !isSameKey(each, key)));
    if (replaced.length > 0) throw unusable(replaced.map(({ kid }) => ({ path: kid, expected: OWN_KID })));
    const isNew = (kid: string, among: readonly Key[]): boolean => among.every((each) => each.kid !== kid);
    const before = this.#keys;
    const gone = before.filter(({ kid }) => isNew(kid, keys));
    const isOther = JSON.stringify(keys) !== JSON.stringify(before);
    const until = now + this.#parts.keptSeconds;
    this.#leaving = [...leaving.filter(({ key: { kid } }) => isNew(kid, keys)), ...gone.map((key) => ({ key, until }))];
    if (isOther) [this.#keys, this.#view] = [keys, undefined];
    return isOther && before.length > 0 ? keys.map(({ kid }) => kid) : undefined;
  }

  view(): V {
    return this.#current().is;
  }

  held(): HeldKeys {
    const { set } = this.#current();
    const { kind, nowSeconds } = this.#parts;
    const mayWait = ({ issuedAt }: Key): boolean =>
      issuedAt > set.current.issuedAt && issuedAt + SIGNS_AFTER_SECONDS <= nowSeconds();
    const ids = (keys: readonly Key[]): readonly string[] => keys.map(({ kid }) => keyId(kind, kid));
    return {
      has: ids(set.keys),
      reads: ids([...set.keys, ...set.leaving]),
      uses: keyId(kind, set.current.kid),
      thumbprints: Object.fromEntries(
        [...set.leaving, ...set.keys].map(({ kid, jwk }) => [keyId(kind, kid), keyThumbprint(jwk)]),
      ),
      lacked: set.keys
        .filter(mayWait)
        .map((key) => ({ kid: key.kid, replicas: this.#standing(key).lackedBy }))
        .filter(({ replicas }) => replicas.length > 0),
    };
  }

  #current(): CurrentView<V> {
    const now = this.#parts.nowSeconds();
    const { revision } = this.#parts.agreement;
    const known = this.#view;
    if (known !== undefined && now < known.until && revision === known.revision) return known;
    this.#leaving = this.#leaving.filter(({ until }) => until > now);
    const set = { keys: this.#keys, leaving: this.#leaving.map(({ key }) => key), current: this.#choose(now) };
    const changes = [
      ...this.#leaving.map(({ until }) => until),
      ...this.#keys.map(({ issuedAt }) => issuedAt + SIGNS_AFTER_SECONDS).filter((at) => at > now),
    ];
    const isSame = known?.set.current === set.current && known.set.leaving.length === set.leaving.length;
    const is = isSame ? known.is : this.#parts.viewOf(set);
    this.#view = { is, set, until: Math.min(...changes, Number.POSITIVE_INFINITY), revision };
    return this.#view;
  }

  #choose(now: number): Key {
    const { agreement } = this.#parts;
    const chosen = chooseCurrent(this.#keys, now, (key) => ({
      ...this.#standing(key),
      inUse: key.kid === this.#inUse,
    }));
    // Before that nothing that lasts is signed or sealed, so the choice may still go back.
    if (agreement.hasSeen) this.#inUse = chosen.kid;
    return chosen;
  }

  #standing({ kid, jwk }: Key): KeyStanding {
    const { kind, agreement } = this.#parts;
    return agreement.standing(keyId(kind, kid), keyThumbprint(jwk));
  }
}
