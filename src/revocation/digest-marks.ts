/**
 * A million targets in tens of megabytes: marks by digest, in flat arrays instead of objects.
 *
 * Each mark has a slot, and slots are handed out in the order of the log, round a ring. Entries run out in about that order as well, so
 * forgetting looks at the oldest slots and stops at the first that must stay: no renewal ever walks through everything. The way from a
 * digest to its latest slot is a hash table with open addressing; a digest is uniform already, so its first word is the hash.
 */

const LEAST_CAPACITY = 1024;
/** 128 bits (core/credential/revocation.ts) in base64url. */
const DIGEST_CHARACTERS = 22;
const WORDS = 4;
const INVALID = 64;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SEXTETS = new Uint8Array(128).fill(INVALID);
for (let value = 0; value < ALPHABET.length; value += 1) SEXTETS[ALPHABET.charCodeAt(value)] = value;

export class DigestMarks {
  #capacity = LEAST_CAPACITY;
  #words = new Uint32Array(LEAST_CAPACITY * WORDS);
  #numbers = new Float64Array(LEAST_CAPACITY);
  /** Epoch seconds. */
  #until = new Uint32Array(LEAST_CAPACITY);
  /** Slot + 1, or 0 for an empty place; twice as many places as slots, so that a free one is always near. */
  #places = new Int32Array(LEAST_CAPACITY * 2);
  #head = 0;
  #count = 0;
  readonly #asked = new Uint32Array(WORDS);

  /** Slots in use: at most as many as there are entries. */
  get size(): number {
    return this.#count;
  }

  /**
   * Per digest the highest number and the longest life hold.
   * @param key whose last 22 characters are the digest
   * @throws TypeError where they are not: what cannot be read may be the revocation that matters
   */
  set(key: string, number: number, until: number): void {
    this.#read(key);
    if (this.#count === this.#capacity) this.#resize(this.#capacity * 2);
    const place = this.#find(this.#asked, 0);
    const before = (this.#places[place] ?? 0) - 1;
    const slot = (this.#head + this.#count) & (this.#capacity - 1);
    this.#count += 1;
    this.#words.set(this.#asked, slot * WORDS);
    this.#numbers[slot] = Math.max(number, before < 0 ? 0 : (this.#numbers[before] ?? 0));
    this.#until[slot] = Math.max(Math.ceil(until), before < 0 ? 0 : (this.#until[before] ?? 0));
    this.#places[place] = slot + 1;
  }

  /** The highest number known for the digest; 0 for none. */
  number(key: string): number {
    if (this.#count === 0) return 0;
    this.#read(key);
    const slot = (this.#places[this.#find(this.#asked, 0)] ?? 0) - 1;
    return slot < 0 ? 0 : (this.#numbers[slot] ?? 0);
  }

  /** Forgets what ended before `now`, oldest first, up to the first mark that must stay. @param now epoch seconds */
  prune(now: number): void {
    while (this.#count > 0 && (this.#until[this.#head] ?? 0) < now) {
      const place = this.#find(this.#words, this.#head * WORDS);
      // A later entry for the same target has a slot of its own by now.
      if (this.#places[place] === this.#head + 1) this.#vacate(place);
      this.#head = (this.#head + 1) & (this.#capacity - 1);
      this.#count -= 1;
    }
    if (this.#capacity > LEAST_CAPACITY && this.#count < this.#capacity / 8) this.#resize(this.#capacity / 2);
  }

  clear(): void {
    this.#count = 0;
    this.#resize(LEAST_CAPACITY);
  }

  #resize(capacity: number): void {
    const [words, numbers, until] = [this.#words, this.#numbers, this.#until];
    const [head, mask] = [this.#head, this.#capacity - 1];
    this.#words = new Uint32Array(capacity * WORDS);
    this.#numbers = new Float64Array(capacity);
    this.#until = new Uint32Array(capacity);
    this.#places = new Int32Array(capacity * 2);
    this.#capacity = capacity;
    this.#head = 0;
    for (let slot = 0; slot < this.#count; slot += 1) {
      const old = (head + slot) & mask;
      for (let word = 0; word < WORDS; word += 1) {
        this.#words[slot * WORDS + word] = words[old * WORDS + word] ?? 0;
      }
      this.#numbers[slot] = numbers[old] ?? 0;
      this.#until[slot] = until[old] ?? 0;
      this.#places[this.#find(this.#words, slot * WORDS)] = slot + 1;
    }
  }

  /** The place of the digest that stands in `words` from `at` on, or the empty one where it would stand. */
  #find(words: Uint32Array, at: number): number {
    const mask = this.#places.length - 1;
    let place = (words[at] ?? 0) & mask;
    for (;;) {
      const slot = (this.#places[place] ?? 0) - 1;
      if (slot < 0 || this.#isAt(slot * WORDS, words, at)) return place;
      place = (place + 1) & mask;
    }
  }

  #isAt(own: number, words: Uint32Array, at: number): boolean {
    return (
      this.#words[own] === words[at] &&
      this.#words[own + 1] === words[at + 1] &&
      this.#words[own + 2] === words[at + 2] &&
      this.#words[own + 3] === words[at + 3]
    );
  }

  /** Empties a place and moves up what would no longer be found behind the gap (Knuth, TAOCP 3, 6.4, algorithm R). */
  #vacate(place: number): void {
    const mask = this.#places.length - 1;
    let gap = place;
    for (let next = (gap + 1) & mask; this.#places[next] !== 0; next = (next + 1) & mask) {
      const home = (this.#words[((this.#places[next] ?? 0) - 1) * WORDS] ?? 0) & mask;
      // Whoever is at home between the gap and its place is found all the same.
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      this.#places[gap] = this.#places[next] ?? 0;
      gap = next;
    }
    this.#places[gap] = 0;
  }

  /** Decodes the digest at the end of `key` into `#asked`, without an allocation: this stands in the way of every request. */
  #read(key: string): void {
    const from = key.length - DIGEST_CHARACTERS;
    const words = this.#asked;
    words.fill(0);
    let wrong = from < 0 || key.charCodeAt(from - 1) !== 0x3a;
    for (let index = 0; index < DIGEST_CHARACTERS; index += 1) {
      const sextet = SEXTETS[key.charCodeAt(from + index)] ?? INVALID;
      wrong ||= sextet === INVALID;
      const word = (index * 6) >> 5;
      const room = 32 - ((index * 6) & 31);
      if (room >= 6) {
        words[word] = (words[word] ?? 0) | (sextet << (room - 6));
        continue;
      }
      words[word] = (words[word] ?? 0) | (sextet >>> (6 - room));
      if (word + 1 < WORDS) words[word + 1] = sextet << (26 + room);
    }
    if (wrong) throw new TypeError('not the key of a session or an account');
  }
}
