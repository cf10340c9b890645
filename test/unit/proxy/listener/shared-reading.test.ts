import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LongTurns } from '../../../../src/proxy/listener/long-turns.ts';
import { ReadingByAccount, SharedReading } from '../../../../src/proxy/listener/shared-reading.ts';

const FREE = { isBehind: () => false, isHeldBack: () => false };

/** Apart from those of other tests. */
const sharedReading = (isBehind?: () => boolean): SharedReading =>
  new SharedReading(isBehind, undefined, new LongTurns());

/** Connections of one account, and whether each is read. */
function connections(reading: SharedReading, count: number) {
  const each = Array.from({ length: count }, () => {
    const reader = {
      isRead: true,
      bytesRead: 0,
      stopReading: () => void (reader.isRead = false),
      goOnReading: () => void (reader.isRead = true),
    };
    reading.add(reader);
    return reader;
  });
  return { each, read: () => each.filter(({ isRead }) => isRead).length };
}

describe('the connections of one account', () => {
  it('are not read beyond what one turn may begin, and sixteen of them are in each later turn', async () => {
    const accounts = new ReadingByAccount(FREE, new LongTurns());
    const [alice, bob] = [connections(accounts.of('alice'), 100), connections(accounts.of('bob'), 100)];
    for (let begun = 0; begun < 255; begun += 1) accounts.of('alice').begun(0);
    expect(alice.read()).toBe(100);
    accounts.of('alice').begun(0);
    expect([alice.read(), bob.read()]).toEqual([0, 100]);
    await turn();
    expect(alice.read()).toBe(16);
    await turn();
    expect(alice.read()).toBe(32);
  });

  it('are not read beyond 51 requests with a target of 4 kB, which costs as much as five', () => {
    const reading = sharedReading();
    const { read } = connections(reading, 2);
    for (let begun = 0; begun < 51; begun += 1) reading.begun(0, { target: 4096 });
    expect(read()).toBe(2);
    reading.begun(0, { target: 4096 });
    expect(read()).toBe(0);
  });

  it('are not read beyond 28 requests with a head of 3.6 kB, and beyond 256 with one of 3 kB', () => {
    const long = sharedReading();
    const { read } = connections(long, 2);
    for (let begun = 0; begun < 27; begun += 1) long.begun(0, { head: 3600 });
    expect(read()).toBe(2);
    long.begun(0, { head: 3600 });
    expect(read()).toBe(0);
    const usual = sharedReading();
    const other = connections(usual, 2);
    for (let begun = 0; begun < 255; begun += 1) usual.begun(0, { head: 3000 });
    expect(other.read()).toBe(2);
  });

  it('are not read beyond 40 kB of heads whose ends have not come', () => {
    const reading = sharedReading();
    const { read } = connections(reading, 2);
    reading.headRead(40_900);
    expect(read()).toBe(2);
    reading.headRead(100);
    expect(read()).toBe(0);
  });

  it('are not read while what others have sent is not worked off, and are afterwards', async () => {
    let isBehind = true;
    const reading = sharedReading(() => isBehind);
    const { read } = connections(reading, 3);
    for (let begun = 0; begun < 256; begun += 1) reading.begun(0);
    for (let turns = 0; turns < 10; turns += 1) await turn();
    expect(read()).toBe(0);
    isBehind = false;
    await turn();
    await turn();
    expect(read()).toBe(3);
  });

  it('of an account that is held back wait, and are looked at a few times a second; those of others do not wait', async () => {
    let looks = 0;
    const isHeldBack = (account: string): boolean => account === 'alice' && (looks += 1) > 0;
    const accounts = new ReadingByAccount({ ...FREE, isHeldBack }, new LongTurns());
    const [alice, bob] = [connections(accounts.of('alice'), 3), connections(accounts.of('bob'), 3)];
    for (const account of ['alice', 'bob']) for (let begun = 0; begun < 256; begun += 1) accounts.of(account).begun(0);
    const since = performance.now();
    for (let turns = 0; turns < 200; turns += 1) await turn();
    expect([alice.read(), bob.read()]).toEqual([0, 3]);
    expect(looks).toBeLessThanOrEqual(2 + (performance.now() - since) / 4);
  });

  it('of an account that begins less than a turn allows wait too, once it has used up what it had', async () => {
    const reading = sharedReading(() => true);
    const { read } = connections(reading, 3);
    for (let turns = 0; turns < 4; turns += 1) {
      expect(read()).toBe(3);
      for (let begun = 0; begun < 64; begun += 1) reading.begun(0);
      await turn();
    }
    expect(read()).toBe(0);
  });

  it('are read eight in a turn where nothing is known of them, each site in turn, and one where they bring much', async () => {
    const reading = sharedReading();
    const read: string[] = [];
    const come = (site: string, count: number): void => {
      for (let each = 0; each < count; each += 1) {
        reading.addNew({ bytesRead: 0, stopReading: () => undefined, goOnReading: () => void read.push(site) }, site);
      }
    };
    come('attacker', 40);
    come('user', 2);
    expect(read).toHaveLength(8);
    // What these have sent is read in between.
    await turn();
    expect(read).toHaveLength(8);
    await turn();
    expect(read.slice(8, 12)).toEqual(['attacker', 'user', 'attacker', 'user']);
    expect(read).toHaveLength(16);
    const most = read.length;
    for (let each = 0; each < 2000; each += 1) reading.begun(0);
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(read).toHaveLength(most);
    while (read.length === most) await turn();
    expect(read).toHaveLength(most + 1);
  });

  it('are forgotten with the last of them', () => {
    const accounts = new ReadingByAccount(FREE, new LongTurns());
    const reading = accounts.of('alice');
    const { each } = connections(reading, 2);
    for (const [index, reader] of each.entries()) {
      expect(accounts.of('alice')).toBe(reading);
      reading.remove(reader);
      accounts.removed('alice');
      expect(accounts.of('alice') === reading).toBe(index === 0);
    }
  });
});
