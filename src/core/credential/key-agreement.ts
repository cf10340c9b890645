/**
 * Which keys every live replica can read, and for how long, as this one sees it in the registry
 * (docs/revocation-protocol.md#keys). Plain data in: what replicas have registered, and the monotonic time.
 */
import { createHash } from 'node:crypto';

export type KeyKind = 'signing' | 'sealing' | 'audit';

/** What a replica registers of its keys, as ids (`keyId`). No secret can be derived from them. */
export interface ReplicaKeys {
  /** It can verify with these, or open, for as long as their files are there. */
  readonly has: readonly string[];
  /** It signs or seals with these. Empty until it may be followed (`KeyAgreement.mayBeFollowed`). */
  readonly uses: readonly string[];
  /** `keyThumbprint` by id. Absent if its version registers none: a key is known by its `kid` alone then. */
  readonly thumbprints?: Thumbprints;
}

export type Thumbprints = Readonly<Record<string, string>>;

/** A replica in the registry. */
export interface KeyHolder {
  readonly name: string;
  /** Absent if its version registers none: nothing is known of its keys then. */
  readonly keys?: ReplicaKeys;
}

/** What is known of one key. */
export interface KeyStanding {
  /** Live replicas that have keys of this kind and not this one, by name. */
  readonly lackedBy: readonly string[];
  /** A live replica signs or seals with it. */
  readonly used: boolean;
  /** Every live replica has been able to read it for as long as a key must be readable before it is used. */
  readonly agreed: boolean;
}

/** Returns what stands for a key in the registry: its kind, and 96 bits of a hash over its public name. */
export const keyId = (kind: KeyKind, kid: string): string =>
  `${kind}:${createHash('sha256').update(kid).digest('base64url').slice(0, 16)}`;

/**
 * Returns what tells two keys with one `kid` apart: 96 bits of the thumbprint of the key (RFC 7638 §3.2). Replicas that
 * start with such keys would each take the other for one that can read what it signs. A sealing key is its own secret, of
 * 256 random bits, which no hash of it helps to find; what it has sealed lies beside it.
 */
export function keyThumbprint({ kty, crv, x, y, k }: PublicMembers): string {
  const members = kty === 'oct' ? { k, kty } : { crv, kty, x, y };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url').slice(0, 16);
}

/** The members of a JWK that the thumbprints of P-256 keys and symmetric ones are of. */
interface PublicMembers {
  readonly kty?: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
  readonly k?: string;
}

const kindOf = (id: string): string => id.slice(0, id.indexOf(':') + 1);

/** Without other replicas the age of a key decides alone, as in a command that is none of them. */
const BY_AGE_ALONE: KeyStanding = { lackedBy: [], used: false, agreed: true };

export class KeyAgreement {
  readonly #readableMs: number;
  /** Live replicas that register their keys; undefined until the registry was read. */
  #others: readonly Required<KeyHolder>[] | undefined;
  /** Since when all of them, and this one, have a key. Monotonic milliseconds. */
  #sharedSince = new Map<string, number>();
  #thumbprints: Thumbprints = {};
  #standings: ReadonlyMap<string, KeyStanding> = new Map();
  #missingSinceMs: number | undefined;
  /** Since the start, this one has been able to read what all live ones use. */
  #hasCaughtUp = false;
  #nowMs = 0;
  #summary = '';
  #revision = 0;

  /** @param readableMs how long every live replica must be able to read a key before it is used */
  constructor(readableMs: number) {
    this.#readableMs = readableMs;
  }

  /** Whether the registry was read. Before that, this replica mints and seals nothing that lasts. */
  get hasSeen(): boolean {
    return this.#others !== undefined;
  }

  /**
   * Whether a key that is used here may be registered as such: once this replica has been able to read what all live ones
   * use, or if all of them can read the key. An operator starts a replica with keys of its own: if it registered its key,
   * all the others would lack a key that is in use, and none would be ready.
   */
  mayBeFollowed(id: string): boolean {
    return this.hasSeen && (this.#hasCaughtUp || this.#lackedBy(id).length === 0);
  }

  /** Changes whenever the standing of a key changes. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * Takes in the registry of a settled epoch, which has every replica with a lease.
   * @param others the live ones, without this one
   * @param has what this one has now
   * @param nowMs monotonic milliseconds
   * @param own reads: what this one can read now, also what was removed a moment ago; thumbprints: of all these
   */
  seen(
    others: readonly KeyHolder[],
    has: readonly string[],
    nowMs: number,
    { reads = has, thumbprints = {} }: { readonly reads?: readonly string[]; readonly thumbprints?: Thumbprints } = {},
  ): void {
    const isFirst = this.#others === undefined;
    this.#thumbprints = thumbprints;
    this.#others = others.flatMap(({ name, keys }) => (keys === undefined ? [] : [{ name, keys }]));
    this.#nowMs = nowMs;
    // A process that starts alone, or beside versions that register nothing, or at the same time as all others: no key
    // is in use yet. A fleet must not go back to its oldest key whenever all of it restarts.
    const begins = isFirst && this.#others.every(({ keys }) => keys.uses.length === 0);
    const from = begins ? Number.NEGATIVE_INFINITY : nowMs;
    this.#sharedSince = new Map(
      has.filter((id) => this.#lackedBy(id).length === 0).map((id) => [id, this.#sharedSince.get(id) ?? from]),
    );
    this.#standings = new Map(has.map((id) => [id, this.#judge(id)]));
    const isMissing = this.#missing(reads).length > 0;
    this.#missingSinceMs = isMissing ? (this.#missingSinceMs ?? nowMs) : undefined;
    this.#hasCaughtUp ||= !isMissing;
    this.#note(reads);
  }

  /**
   * The registry could not be read for a while: a replica without the key may have come and gone, so each count begins
   * again. What is in use stays in use.
   */
  unseen(): void {
    this.#sharedSince.clear();
  }

  /** @param thumbprint of the key, which may have been read since the registry was */
  standing(id: string, thumbprint = this.#thumbprints[id]): KeyStanding {
    if (this.#others === undefined) return BY_AGE_ALONE;
    const known = this.#standings.get(id);
    return known ?? { lackedBy: this.#lackedBy(id, thumbprint), used: this.#isUsed(id, thumbprint), agreed: false };
  }

  /**
   * Returns the live replicas that sign or seal with a key that this one cannot read, by name. Empty once that has
   * lasted for as long as any mounted file takes: then these keys are other ones on purpose, and a fleet must not be
   * kept from being replaced.
   * @param reads what this one can read now
   */
  ahead(reads: readonly string[]): readonly string[] {
    const isOver = this.#missingSinceMs !== undefined && this.#nowMs - this.#missingSinceMs >= this.#readableMs;
    return isOver ? [] : this.#missing(reads);
  }

  /** The audit log is verified offline, so its keys are not missed here. */
  #missing(reads: readonly string[]): readonly string[] {
    const isMissing = (keys: ReplicaKeys, id: string): boolean =>
      kindOf(id) !== 'audit:' && !(reads.includes(id) && isSameKey(keys, id, this.#thumbprints[id]));
    return (this.#others ?? [])
      .filter(({ keys }) => keys.uses.some((id) => isMissing(keys, id)))
      .map(({ name }) => name);
  }

  #judge(id: string): KeyStanding {
    const since = this.#sharedSince.get(id);
    const agreed = since !== undefined && this.#nowMs - since >= this.#readableMs;
    return { lackedBy: this.#lackedBy(id), used: this.#isUsed(id), agreed };
  }

  /** Replicas without any key of this kind do not count: they are configured without (`keys.auditDir`). */
  #lackedBy(id: string, thumbprint = this.#thumbprints[id]): readonly string[] {
    const ofKind = ({ keys }: Required<KeyHolder>): boolean => keys.has.some((each) => kindOf(each) === kindOf(id));
    return (this.#others ?? [])
      .filter((other) => ofKind(other) && !(other.keys.has.includes(id) && isSameKey(other.keys, id, thumbprint)))
      .map(({ name }) => name)
      .toSorted();
  }

  #isUsed(id: string, thumbprint = this.#thumbprints[id]): boolean {
    return (this.#others ?? []).some(({ keys }) => keys.uses.includes(id) && isSameKey(keys, id, thumbprint));
  }

  #note(reads: readonly string[]): void {
    const summary = JSON.stringify([[...this.#standings], this.ahead(reads)]);
    if (summary !== this.#summary) this.#revision += 1;
    this.#summary = summary;
  }
}

/** Where one of the two is not known, the `kid` decides. */
function isSameKey({ thumbprints }: ReplicaKeys, id: string, thumbprint: string | undefined): boolean {
  const theirs = thumbprints?.[id];
  return theirs === undefined || thumbprint === undefined || theirs === thumbprint;
}
