import { calculateJwkThumbprint } from 'jose';
import { describe, expect, it } from 'vitest';
import { chooseCurrent } from '../../../../src/config/keys.ts';
import {
  KeyAgreement,
  keyId,
  keyThumbprint,
  type KeyHolder,
  type KeyKind,
} from '../../../../src/core/credential/key-agreement.ts';

const TEN_MINUTES = 600_000;
/** Keys by name and age: by its age each may be used, but for `young`. */
const ISSUED: Readonly<Record<string, number>> = { old: 1, next: 2, third: 3, young: 1_000_000 };
const NOW_SECONDS = 1_000_000;

/** Replicas that renew in turn, as the registry has them. Some are of a version that registers no keys. */
class Fleet {
  nowMs = 0;
  readonly replicas = new Map<string, Replica>();

  start(name: string, ...keys: readonly string[]): Replica {
    const replica = new Replica(name, keys);
    this.replicas.set(name, replica);
    return replica;
  }

  /** Each renews twice, so that all have seen what all have registered. */
  renew(): void {
    for (const self of [...this.replicas.values(), ...this.replicas.values()]) {
      self.registered = self.register();
      self.agreement.seen(this.#others(self), self.has, this.nowMs);
    }
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.renew();
  }

  #others(self: Replica): readonly KeyHolder[] {
    return [...this.replicas.values()]
      .filter((each) => each !== self && each.registered !== undefined)
      .map(({ registered, name }) => registered ?? { name });
  }

  used(): readonly (string | undefined)[] {
    return [...this.replicas.values()].map((each) => each.current());
  }
}

class Replica {
  readonly name: string;
  readonly agreement = new KeyAgreement(TEN_MINUTES);
  registered: KeyHolder | undefined;
  isOlderVersion = false;
  kind: KeyKind = 'signing';
  #keys: readonly string[];
  #inUse: string | undefined;

  constructor(name: string, keys: readonly string[]) {
    this.name = name;
    this.#keys = keys;
  }

  get has(): readonly string[] {
    return this.#keys.map((kid) => keyId(this.kind, kid));
  }

  reads(...keys: readonly string[]): void {
    this.#keys = keys;
  }

  current(): string {
    const keys = this.#keys.map((kid) => ({ kid, issuedAt: ISSUED[kid] ?? 0 }));
    const { kid } = chooseCurrent(keys, NOW_SECONDS, (key) => ({
      ...this.agreement.standing(keyId(this.kind, key.kid)),
      inUse: key.kid === this.#inUse,
    }));
    if (this.agreement.hasSeen) this.#inUse = kid;
    return kid;
  }

  register(): KeyHolder {
    if (this.isOlderVersion) return { name: this.name };
    const uses = [keyId(this.kind, this.current())].filter((id) => this.agreement.mayBeFollowed(id));
    return { name: this.name, keys: { has: this.has, uses } };
  }
}

function fleetOf(...names: readonly string[]): Fleet & { readonly at: (name: string) => Replica } {
  const fleet = new Fleet();
  for (const name of names) fleet.start(name, 'old');
  fleet.renew();
  const at = (name: string): Replica => {
    const replica = fleet.replicas.get(name);
    if (replica === undefined) throw new Error(name);
    return replica;
  };
  return Object.assign(fleet, { at });
}

describe('a new key', () => {
  it('is used by all when each has been able to read it for ten minutes, however late one reads it', () => {
    const fleet = fleetOf('a', 'b');
    fleet.at('a').reads('old', 'next');
    fleet.pass(100 * TEN_MINUTES);
    expect(fleet.used()).toEqual(['old', 'old']);
    expect(fleet.at('a').agreement.standing(keyId('signing', 'next')).lackedBy).toEqual(['b']);
    fleet.at('b').reads('old', 'next');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES - 1);
    expect(fleet.used()).toEqual(['old', 'old']);
    fleet.pass(1);
    expect(fleet.used()).toEqual(['next', 'next']);
  });

  it('waits for its own age too', () => {
    const fleet = fleetOf('a');
    fleet.at('a').reads('old', 'young');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES);
    expect(fleet.used()).toEqual(['old']);
  });

  it.each([
    ['a replica starts without it', (fleet: Fleet) => void fleet.start('late', 'old')],
    [
      'the registry could not be read for a while',
      (fleet: Fleet) => fleet.replicas.forEach(({ agreement }) => agreement.unseen()),
    ],
  ])('waits for ten minutes again where %s', (_, interrupt) => {
    const fleet = fleetOf('a', 'b');
    for (const name of ['a', 'b']) fleet.at(name).reads('old', 'next');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES - 1);
    interrupt(fleet);
    fleet.pass(0);
    for (const replica of fleet.replicas.values()) replica.reads('old', 'next');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES - 1);
    expect(new Set(fleet.used())).toEqual(new Set(['old']));
    fleet.pass(1);
    expect(new Set(fleet.used())).toEqual(new Set(['next']));
  });

  it('is used by no replica that starts with it, before the others use it', () => {
    const fleet = fleetOf('a');
    fleet.start('late', 'old', 'next');
    fleet.pass(1);
    expect(fleet.used()).toEqual(['old', 'old']);
    fleet.at('a').reads('old', 'next');
    fleet.pass(0);
    fleet.start('later', 'old', 'next');
    fleet.pass(TEN_MINUTES - 1);
    expect(fleet.used()).toEqual(['old', 'old', 'old']);
    fleet.pass(1);
    fleet.start('last', 'old', 'next');
    fleet.pass(1);
    expect(fleet.used()).toEqual(['next', 'next', 'next', 'next']);
  });

  it('is used at once by a fleet that begins: by one replica alone, and by all that start together', () => {
    const alone = new Fleet();
    alone.start('a', 'old', 'next');
    alone.renew();
    expect(alone.used()).toEqual(['next']);
    const together = new Fleet();
    for (const name of ['a', 'b', 'c'])
      together.start(name, 'old', 'next').registered = {
        name,
        keys: { has: [keyId('signing', 'old'), keyId('signing', 'next')], uses: [] },
      };
    together.renew();
    expect(together.used()).toEqual(['next', 'next', 'next']);
  });

  it('waits for ten minutes here beside a version that registers nothing', () => {
    const fleet = fleetOf('a', 'b');
    fleet.at('b').isOlderVersion = true;
    fleet.renew();
    fleet.at('a').reads('old', 'next');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES - 1);
    expect(fleet.at('a').current()).toBe('old');
    fleet.pass(1);
    expect(fleet.at('a').current()).toBe('next');
  });

  it('does not wait for a replica that has no keys of its kind', () => {
    const agreement = new KeyAgreement(0);
    const other = { name: 'b', keys: { has: [keyId('signing', 'x')], uses: [keyId('signing', 'x')] } };
    agreement.seen([other], [keyId('audit', 'a'), keyId('signing', 'x')], 0);
    expect(agreement.standing(keyId('audit', 'a')).lackedBy).toEqual([]);
  });
});

describe('the key in use', () => {
  const inUse = (): ReturnType<typeof fleetOf> => {
    const fleet = fleetOf('a', 'b');
    for (const name of ['a', 'b']) fleet.at(name).reads('old', 'next');
    fleet.pass(0);
    fleet.pass(TEN_MINUTES);
    return fleet;
  };

  it('stays in use after a fence, when each count begins again, although no other replica is left', () => {
    const fleet = inUse();
    fleet.at('a').agreement.unseen();
    fleet.replicas.delete('b');
    fleet.renew();
    expect(fleet.used()).toEqual(['next']);
  });

  it('gives way at once to the next one where it is removed, although not every replica has that', () => {
    const fleet = fleetOf('a', 'b');
    fleet.at('a').reads('old', 'next', 'third');
    fleet.pass(1);
    fleet.at('a').reads('next', 'third');
    fleet.pass(1);
    expect(fleet.at('a').current()).toBe('next');
    expect(fleet.at('b').agreement.ahead(fleet.at('b').has)).toEqual(['a']);
  });

  it('stays in use where a replica starts without it; that one is told, for ten minutes at most', () => {
    const fleet = inUse();
    const late = fleet.start('late', 'old');
    fleet.pass(1);
    expect(fleet.used()).toEqual(['next', 'next', 'old']);
    expect(late.agreement.ahead(late.has)).toEqual(['a', 'b']);
    fleet.pass(TEN_MINUTES - 1);
    expect(late.agreement.ahead(late.has)).toEqual(['a', 'b']);
    fleet.pass(1);
    expect(late.agreement.ahead(late.has)).toEqual([]);
    late.reads('old', 'next');
    fleet.pass(1);
    expect(fleet.used()).toEqual(['next', 'next', 'next']);
  });

  it('is missed by a replica that starts with keys of its own, and the others miss none of its', () => {
    const fleet = inUse();
    const other = fleet.start('other', 'third');
    const ahead = (): readonly (readonly string[])[] =>
      [...fleet.replicas.values()].map(({ agreement, has }) => agreement.ahead(has));
    for (const ms of [0, 0, TEN_MINUTES - 1]) {
      fleet.pass(ms);
      expect(ahead()).toEqual([[], [], ['a', 'b']]);
    }
    // Keys that are other ones on purpose: it is ready, and the others are until they have gone.
    fleet.pass(1);
    fleet.pass(0);
    expect(ahead()).toEqual([[], [], []]);
    expect(other.registered?.keys?.uses).toEqual([]);
    for (const name of ['a', 'b']) fleet.replicas.delete(name);
    fleet.pass(0);
    fleet.pass(0);
    expect(other.registered?.keys?.uses).toEqual([keyId('signing', 'third')]);
  });

  it('gives way to a newer one where a replica starts that never had it, because it was removed', () => {
    const fleet = fleetOf('a', 'b');
    for (const name of ['a', 'b']) fleet.at(name).reads('old', 'next');
    fleet.pass(0);
    const late = fleet.start('late', 'next');
    fleet.pass(1);
    fleet.renew();
    expect(fleet.used()).toEqual(['next', 'next', 'next']);
    expect(late.agreement.ahead(late.has)).toEqual([]);
  });

  it('is followed by one that every replica has, if there is one', () => {
    const fleet = fleetOf('a', 'b');
    fleet.at('a').reads('old', 'next', 'third');
    fleet.at('b').reads('old', 'third');
    fleet.pass(1);
    fleet.at('a').reads('next', 'third');
    expect(fleet.at('a').current()).toBe('third');
  });

  it('of the audit log is missed by no replica: its signatures are verified offline', () => {
    const agreement = new KeyAgreement(TEN_MINUTES);
    agreement.seen([{ name: 'b', keys: { has: [], uses: [keyId('audit', 'x')] } }], [keyId('audit', 'a')], 0);
    expect(agreement.ahead([keyId('audit', 'a')])).toEqual([]);
  });
});

it('an attacker who can write to Redis has a new key used early, and neither an older one nor one that is nowhere', () => {
  const fleet = fleetOf('a');
  const claim = (kid: string): void => {
    const id = keyId('signing', kid);
    const { agreement, has } = fleet.at('a');
    agreement.seen([{ name: 'forged', keys: { has: [id], uses: [id] } }], has, fleet.nowMs);
  };
  fleet.at('a').reads('old', 'next');
  claim('nowhere');
  expect(fleet.at('a').current()).toBe('old');
  claim('next');
  expect(fleet.at('a').current()).toBe('next');
  claim('old');
  expect(fleet.at('a').current()).toBe('next');
});

describe('two keys with one kid', () => {
  const id = keyId('signing', 'x');
  const other = (thumbprints?: Readonly<Record<string, string>>): readonly KeyHolder[] => [
    { name: 'b', keys: { has: [id], uses: [id], ...(thumbprints === undefined ? {} : { thumbprints }) } },
  ];

  it.each([
    { theirs: { [id]: 'other' }, ours: { [id]: 'one' }, lackedBy: ['b'], used: false },
    { theirs: { [id]: 'one' }, ours: { [id]: 'one' }, lackedBy: [], used: true },
    // Beside a version that registers none, as before.
    { theirs: undefined, ours: { [id]: 'one' }, lackedBy: [], used: true },
    { theirs: { [keyId('signing', 'y')]: 'y' }, ours: { [id]: 'one' }, lackedBy: [], used: true },
  ])('are told apart by their thumbprints: $theirs', ({ theirs, ours, lackedBy, used }) => {
    const agreement = new KeyAgreement(TEN_MINUTES);
    agreement.seen(other(theirs), [id], 0, { thumbprints: ours });
    expect(agreement.standing(id)).toEqual({ lackedBy, used, agreed: false });
    expect(agreement.ahead([id])).toEqual(used ? [] : ['b']);
  });

  it('are so for a key that was read since the registry was', () => {
    const agreement = new KeyAgreement(0);
    agreement.seen(other({ [id]: 'other' }), [], 0);
    expect(agreement.standing(id, 'one')).toEqual({ lackedBy: ['b'], used: false, agreed: false });
    expect(agreement.standing(id, 'other')).toEqual({ lackedBy: [], used: true, agreed: false });
  });
});

it('a thumbprint is of what a key is, and of nothing else that its file has', async () => {
  for (const jwk of [
    { kty: 'EC', crv: 'P-256', x: 'eHg', y: 'eXk', d: 'ZGQ', kid: 'a', use: 'sig' },
    { kty: 'oct', k: 'a2s', kid: 'a' },
  ])
    expect((await calculateJwkThumbprint(jwk)).slice(0, 16)).toBe(keyThumbprint(jwk));
});

it('an id names a key, and tells two kinds apart', () => {
  expect(keyId('signing', 'a')).toMatch(/^signing:[\w-]{16}$/);
  expect(new Set([keyId('signing', 'a'), keyId('sealing', 'a'), keyId('signing', 'b')]).size).toBe(3);
});
