/**
 * A million targets in tens of megabytes: marks by digest, in flat arrays instead of objects.
 *
 * Each mark has a slot, and slots are assigned in the order of the log, around a ring. Entries expire in about that
 * order as well, so pruning checks the oldest slots and stops at the first that must stay: no renewal ever walks
 * through everything. A hash table with open addressing leads from a digest to its latest slot. A digest is uniform
 * already, so its first 32 bits are the hash.
 */

const MIN_CAPACITY = 1024;
/** 128 bits (core/credential/revocation.ts) in base64url. */
const DIGEST_CHARACTERS = 22;
const DIGEST_LENGTH = 4;
const INVALID = 64;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SEXTETS = new Uint8Array(128).fill(INVALID);
for (let value = 0; value < ALPHABET.length; value += 1) SEXTETS[ALPHABET.charCodeAt(value)] = value;

export class DigestMarks {
  #capacity = MIN_CAPACITY;
  #digests = new Uint32Array(MIN_CAPACITY * DIGEST_LENGTH);
  #numbers = new Float64Array(MIN_CAPACITY);
  /** Epoch seconds. */
  #until = new Uint32Array(MIN_CAPACITY);
  /**
   * Slot + 1, or 0 for an empty bucket. There are twice as many buckets as slots, so that a free one is always
   * near.
   */
  #buckets = new Int32Array(MIN_CAPACITY * 2);
  #head = 0;
  #count = 0;
  readonly #query = new Uint32Array(DIGEST_LENGTH);

  /** Slots in use: at most as many as there are entries. */
  get size(): number {
    return this.#count;
  }

  /**
   * Adds a mark. For each digest the highest number and the longest lifetime count.
   * @param key its last 22 characters are the digest
   * @throws TypeError if they are not: a key that cannot be read may be the revocation that matters
   */
  set(key: string, number: number, until: number): void {
    this.#read(key);
    if (this.#count === this.#capacity) this.#resize(this.#capacity * 2);
    const bucket = this.#find(this.#query, 0);
    const before = (this.#buckets[bucket] ?? 0) - 1;
    const slot = (this.#head + this.#count) & (this.#capacity - 1);
    this.#count += 1;
    this.#digests.set(this.#query, slot * DIGEST_LENGTH);
    this.#numbers[slot] = Math.max(number, before < 0 ? 0 : (this.#numbers[before] ?? 0));
    this.#until[slot] = Math.max(Math.ceil(until), before < 0 ? 0 : (this.#until[before] ?? 0));
    this.#buckets[bucket] = slot + 1;
  }

  /** Returns the highest number known for the digest; 0 for none. */
  number(key: string): number {
    if (this.#count === 0) return 0;
    this.#read(key);
    const slot = (this.#buckets[this.#find(this.#query, 0)] ?? 0) - 1;
    return slot < 0 ? 0 : (this.#numbers[slot] ?? 0);
  }

  /**
   * Forgets what ended before `nowSeconds`, oldest first, up to the first mark that must stay. @param nowSeconds
   * epoch seconds
   */
  prune(nowSeconds: number): void {
    while (this.#count > 0 && (this.#until[this.#head] ?? 0) < nowSeconds) {
      const bucket = this.#find(this.#digests, this.#head * DIGEST_LENGTH);
      // A later entry for the same target has a slot of its own by now.
      if (this.#buckets[bucket] === this.#head + 1) this.#vacate(bucket);
      this.#head = (this.#head + 1) & (this.#capacity - 1);
      this.#count -= 1;
    }
    if (this.#capacity > MIN_CAPACITY && this.#count < this.#capacity / 8) this.#resize(this.#capacity / 2);
  }

  clear(): void {
    this.#count = 0;
    this.#resize(MIN_CAPACITY);
  }

  #resize(capacity: number): void {
    const [digests, numbers, until] = [this.#digests, this.#numbers, this.#until];
    const [head, mask] = [this.#head, this.#capacity - 1];
    this.#digests = new Uint32Array(capacity * DIGEST_LENGTH);
    this.#numbers = new Float64Array(capacity);
    this.#until = new Uint32Array(capacity);
    this.#buckets = new Int32Array(capacity * 2);
    this.#capacity = capacity;
    this.#head = 0;
    for (let slot = 0; slot < this.#count; slot += 1) {
      const old = (head + slot) & mask;
      for (let element = 0; element < DIGEST_LENGTH; element += 1) {
        this.#digests[slot * DIGEST_LENGTH + element] = digests[old * DIGEST_LENGTH + element] ?? 0;
      }
      this.#numbers[slot] = numbers[old] ?? 0;
      this.#until[slot] = until[old] ?? 0;
      this.#buckets[this.#find(this.#digests, slot * DIGEST_LENGTH)] = slot + 1;
    }
  }

  /** Returns the bucket of the digest that is in `digests` from `at` on, or the empty one that it would get. */
  #find(digests: Uint32Array, at: number): number {
    const mask = this.#buckets.length - 1;
    let bucket = (digests[at] ?? 0) & mask;
    for (;;) {
      const slot = (this.#buckets[bucket] ?? 0) - 1;
      if (slot < 0 || this.#isAt(slot * DIGEST_LENGTH, digests, at)) return bucket;
      bucket = (bucket + 1) & mask;
    }
  }

  #isAt(slotAt: number, digests: Uint32Array, at: number): boolean {
    return (
      this.#digests[slotAt] === digests[at] &&
      this.#digests[slotAt + 1] === digests[at + 1] &&
      this.#digests[slotAt + 2] === digests[at + 2] &&
      this.#digests[slotAt + 3] === digests[at + 3]
    );
  }

  /**
   * Empties a bucket and moves up what would no longer be found behind the gap (Knuth, TAOCP 3, 6.4, algorithm R).
   */
  #vacate(bucket: number): void {
    const mask = this.#buckets.length - 1;
    let gap = bucket;
    for (let next = (gap + 1) & mask; this.#buckets[next] !== 0; next = (next + 1) & mask) {
      const home = (this.#digests[((this.#buckets[next] ?? 0) - 1) * DIGEST_LENGTH] ?? 0) & mask;
      // An entry whose home is between the gap and its bucket is found all the same.
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#buckets[gap] = this.#buckets[next] ?? 0;
      gap = next;
    }
    this.#buckets[gap] = 0;
  }

  /**
   * Decodes the digest at the end of `key` into `#query`, without an allocation, because every request waits for
   * it.
   */
  #read(key: string): void {
    const from = key.length - DIGEST_CHARACTERS;
    const digests = this.#query;
    digests.fill(0);
    let wrong = from < 0 || key.charCodeAt(from - 1) !== 0x3a;
    for (let index = 0; index < DIGEST_CHARACTERS; index += 1) {
      const sextet = SEXTETS[key.charCodeAt(from + index)] ?? INVALID;
      wrong ||= sextet === INVALID;
      const element = (index * 6) >> 5;
      const bitsLeft = 32 - ((index * 6) & 31);
      if (bitsLeft >= 6) {
        digests[element] = (digests[element] ?? 0) | (sextet << (bitsLeft - 6));
        continue;
      }
      digests[element] = (digests[element] ?? 0) | (sextet >>> (6 - bitsLeft));
      if (element + 1 < DIGEST_LENGTH) digests[element + 1] = sextet << (26 + bitsLeft);
    }
    if (wrong) throw new TypeError('not the key of a session or an account');
  }
}
