import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { UpstreamReading } from '../../../src/timing/upstream-reading.ts';

/** More than one account may have read in a turn; four of them are more than all may. */
const FLOOD = 4_096;

function joining() {
  const reading = new UpstreamReading();
  let goings = 0;
  return (account: string | undefined, count: number) => {
    const each = Array.from({ length: count }, () => {
      const reader = {
        isRead: true,
        wentOn: 0,
        /** In what order they went on. */
        at: 0,
        stopReading: () => void (reader.isRead = false),
        goOnReading: () => {
          reader.isRead = true;
          reader.wentOn += 1;
          reader.at = goings += 1;
        },
      };
      return { reader, ...reading.join(account, reader) };
    });
    return {
      each,
      read: () => each.filter(({ reader }) => reader.isRead).length,
      /** The first one that is read has so many records of one byte. */
      flood: () => {
        const first = each.find(({ reader }) => reader.isRead);
        for (let record = 0; record < FLOOD; record += 1) first?.took(1, 0);
      },
    };
  };
}

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await turn();
}

describe('the connections of one account to API servers', () => {
  it('are not read once it has used up its share of a turn; those of others are', async () => {
    const join = joining();
    const [mallory, alice, own] = [join('mallory', 100), join('alice', 100), join(undefined, 2)];
    mallory.flood();
    expect([mallory.read(), alice.read(), own.read()]).toEqual([0, 100, 2]);
    await turn();
    expect(mallory.read()).toBe(16);
    await turn();
    expect(mallory.read()).toBe(16 + 32);
  });

  it.each([
    ['chunks of one byte', 10, [11_000, 10_923]],
    ['many bytes', 4, [1_048_576, 64]],
  ] as const)('have no more than their share by %s', (_what, count, [bytes, chunks]) => {
    const mallory = joining()('mallory', 100);
    for (const { took } of mallory.each.slice(0, count)) took(bytes, chunks);
    expect(mallory.read()).toBe(0);
  });

  it('go on with no further event, each of them', async () => {
    const mallory = joining()('mallory', 1_000);
    mallory.flood();
    await turns(12);
    expect(mallory.read()).toBe(1_000);
  });

  it('wait as well if they join in a turn that is over', async () => {
    const join = joining();
    const mallory = join('mallory', 1);
    mallory.flood();
    const later = join('mallory', 1);
    expect(later.read()).toBe(0);
    await turns(2);
    expect(later.read()).toBe(1);
  });

  it('go on when they are no account’s any more', async () => {
    const mallory = joining()('mallory', 40);
    mallory.flood();
    for (const { leave } of mallory.each) leave();
    expect(mallory.read()).toBe(40);
    await turns(5);
    expect(mallory.each.every(({ reader }) => reader.wentOn === 1)).toBe(true);
  });
});

describe('the connections of all accounts', () => {
  it('are not read once the turn is used up, and go on one of each account after the other', async () => {
    const join = joining();
    const attackers = Array.from({ length: 20 }, (_, index) => join(`mallory-${index}`, 50));
    const alice = join('alice', 30);
    for (const attacker of attackers) attacker.flood();
    expect([...attackers, alice].map((of) => of.read()).every((count) => count === 0)).toBe(true);
    // Sixteen go on in a turn; all that the others can read is used up in each.
    for (let left = 3; left > 0; left -= 1) {
      await turn();
      for (const attacker of attackers) attacker.flood();
    }
    expect(alice.each.some(({ reader }) => reader.wentOn > 0)).toBe(true);
  });

  it('each have their turn, those behind idle ones of the same account as well', async () => {
    const join = joining();
    const attackers = Array.from({ length: 20 }, (_, index) => join(`mallory-${index}`, 50));
    const alice = join('alice', 30);
    for (const attacker of attackers) attacker.flood();
    for (let passed = 0; passed < 400; passed += 1) {
      await turn();
      // What is polled first differs: she is read in every other turn only.
      if (passed % 2 === 0) for (const { reader, took } of alice.each) if (reader.isRead) took(1, 0);
      for (const attacker of attackers) attacker.flood();
    }
    expect(alice.each.every(({ reader }) => reader.wentOn > 0)).toBe(true);
  });

  it('keep their place where others that went on with them use up the turn', async () => {
    const join = joining();
    // As many accounts as go on in a turn: they are read in the order in which they went on.
    const attackers = Array.from({ length: 15 }, (_, index) => join(`mallory-${index}`, 5));
    const alice = join('alice', 1);
    for (const attacker of attackers) attacker.flood();
    let isRead = false;
    for (let left = 8; left > 0; left -= 1) {
      await turn();
      const polled = [...attackers, alice].flatMap(({ each }) => each).toSorted((a, b) => a.reader.at - b.reader.at);
      for (const { reader, took } of polled) {
        isRead ||= reader.isRead && reader === alice.each[0]?.reader;
        for (let record = 0; record < FLOOD && reader.isRead; record += 1) took(1, 0);
      }
    }
    expect(isRead).toBe(true);
  });
});
