import { describe, expect, it } from 'vitest';
import { UnreadResponses } from '../../../../src/proxy/listener/unread-responses.ts';
import { createTurns } from '../../../../src/timing/timing.ts';

type Args = Parameters<UnreadResponses['add']>;

interface Unread {
  readonly response: Args[0] & { bytes: number };
  readonly resets: string[];
  /** Writes the last of it. */
  readonly end: () => void;
  readonly closed: () => void;
}

/** Rejections that have been written and that no one reads. */
function unread(
  all: UnreadResponses,
  name: string,
  { address = '192.0.2.1', of = {}, user = '', finished = true } = {},
): Unread {
  const resets: string[] = [];
  let onFinished = (): void => undefined;
  const response = {
    bytes: 500,
    finished,
    onFinished: (listener: () => void) => void (onFinished = listener),
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
  const closed = all.add(response as unknown as Args[0], connection as unknown as Args[1], 20_000);
  const end = (): void => {
    response.finished = true;
    onFinished();
  };
  return { response: response as unknown as Unread['response'], resets, end, closed };
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
    const each = Array.from({ length: most + 2 }, (_, index) =>
      unread(all, `${index}`, { address: addressOf(index), user: `user ${index % 8}` }),
    );
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

  it.each([
    ['one address', 500, () => '192.0.2.1'],
    ['all addresses', 1_000, (index: number) => `192.0.${index % 8}.1`],
  ])(
    'is reset immediately, the oldest first, where connections of %s without a credential have more than %s',
    (_whose, most, addressOf) => {
      const all = make();
      const started = unread(all, 'started', { finished: false });
      const more = (name: string, count: number) =>
        Array.from({ length: count }, (_, index) => unread(all, `${name} ${index}`, { address: addressOf(index) }));
      const first = more('first', most);
      // Those that were read make space for others.
      for (const each of first.slice(2)) each.closed();
      const each = [started, ...first, ...more('second', most)];
      expect(each.flatMap(({ resets }) => resets)).toEqual(['first 0', 'first 1']);
      // One that is under way counts from its end on, and has become the latest then.
      started.end();
      expect(each.flatMap(({ resets }) => resets)).toEqual(['first 0', 'first 1', 'second 0']);
    },
  );

  it('ends its connection, once, where that has more than a few', () => {
    const all = make();
    const of = {};
    const each = Array.from({ length: 60 }, (_, index) => unread(all, `${index}`, { of }));
    all.sweep(0);
    all.sweep(1_000);
    expect(each.flatMap(({ resets }) => resets)).toEqual(['connection']);
  });
});
