import { describe, expect, it } from 'vitest';
import { UnreadResponses } from '../../../../src/proxy/listener/unread-responses.ts';
import { createTurns } from '../../../../src/timing/timing.ts';

type Args = Parameters<UnreadResponses['add']>;

interface Unread {
  readonly response: Args[0] & { bytes: number };
  readonly resets: string[];
}

/** Rejections that have been written and that no one reads. */
function unread(all: UnreadResponses, name: string, { address = '192.0.2.1', of = {}, user = '' } = {}): Unread {
  const resets: string[] = [];
  const response = {
    bytes: 500,
    finished: true,
    gone: false,
    get waiting() {
      return this.bytes;
    },
    reset: () => void resets.push(name),
  };
  const connection = Object.assign(of, {
    address,
    ...(user !== '' && { user }),
    ended: false,
    reset: () => void resets.push('connection'),
  });
  all.add(response as unknown as Args[0], connection as unknown as Args[1], 20_000);
  return { response: response as unknown as Unread['response'], resets };
}

const make = (): UnreadResponses => new UnreadResponses(createTurns(10_000));

describe('a rejection that is never read', () => {
  it('is reset when its time is over, and not before; one that is read a little is not', () => {
    const all = make();
    const [never, slowly] = [unread(all, 'never'), unread(all, 'slowly')];
    all.sweep(0);
    all.sweep(19_999);
    expect(never.resets).toEqual([]);
    slowly.response.bytes = 400;
    all.sweep(20_000);
    expect([never.resets, slowly.resets]).toEqual([['never'], []]);
  });

  it.each([
    ['one address', 500, () => '192.0.2.1'],
    ['all addresses', 2_000, (index: number) => `192.0.${index % 8}.1`],
  ])('is reset before its time, the oldest first, where %s has more than %s of them', (_whose, most, addressOf) => {
    const all = make();
    const each = Array.from({ length: most + 2 }, (_, index) => unread(all, `${index}`, { address: addressOf(index) }));
    all.sweep(0);
    all.sweep(1_000);
    expect(each.flatMap(({ resets }) => resets)).toEqual(['0', '1']);
  });

  it('is reset immediately, the oldest first, where a user has more than 500 that wait, on whatever connections', () => {
    const all = make();
    const more = (user: string, count: number) =>
      Array.from({ length: count }, (_, index) =>
        unread(all, `${user} ${index}`, { user, address: `192.0.2.${index}` }),
      );
    const each = [...more('alice', 502), ...more('bob', 500), ...more('', 600)];
    expect(each.flatMap(({ resets }) => resets)).toEqual(['alice 0', 'alice 1']);
  });

  it('ends its connection, once, where that has more than a few', () => {
    const all = make();
    const of = {};
    const each = Array.from({ length: 60 }, (_, index) => unread(all, `${index}`, { of }));
    all.sweep(0);
    all.sweep(1_000);
    expect(each.flatMap(({ resets }) => resets)).toEqual(['connection']);
  });
});
