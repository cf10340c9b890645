import { expect, test } from 'vitest';
import { readRoleUsage } from '../../../../src/services/access/role-usage.ts';
import type { AccessRequest } from '../../../../src/core/access/request.ts';
import { accessRequest } from '../../../support/access-notices.ts';

const NOW = 1_800_000_000;
const DAY = 86_400;

/** Newest first, in pages. */
function storeOf(requests: readonly AccessRequest[]) {
  const sorted = requests.toSorted((a, b) => b.requestedAt - a.requestedAt);
  let pages = 0;
  return {
    pages: () => pages,
    list: async ({ cursor = '0', limit }: { readonly cursor?: string; readonly limit: number }) => {
      pages += 1;
      const end = Number(cursor) + limit;
      const page = sorted.slice(Number(cursor), end).map((request) => ({ request, version: 1 }));
      return { requests: page, ...(end < sorted.length ? { cursor: String(end) } : {}) };
    },
  };
}

const read = (store: ReturnType<typeof storeOf>) =>
  readRoleUsage({ store, roles: ['shop-admins', 'quiet'], clock: { nowMs: () => NOW * 1000 } });

/** One that was approved and has begun at once. */
const granted = (secondsAgo: number, user: string, approver: string): AccessRequest => {
  const at = NOW - secondsAgo;
  const who = { account: `corp/${approver}`, username: approver } as const;
  return accessRequest({
    id: `${user}-${secondsAgo}-${approver}`,
    account: `corp/${user}`,
    requestedAt: at,
    state: 'granted',
    grant: { beganAt: at * 1000, endsAt: (at + 60) * 1000 },
    decisions: [{ ...who, at, approved: true }],
  });
};

test('counts the grants of a day by user, and the approvals of a week by approver', async () => {
  const store = storeOf([
    granted(60, 'jane', 'bo'),
    granted(120, 'jane', 'bo'),
    granted(180, 'joe', 'bo'),
    granted(DAY + 60, 'jane', 'bo'),
    granted(3 * DAY, 'jane', 'eve'),
    granted(8 * DAY, 'jane', 'zed'),
    accessRequest({
      requestedAt: NOW - 30,
      decisions: [{ account: 'corp/no', username: 'no', at: NOW - 20, approved: false }],
    }),
  ]);
  expect(Object.fromEntries(await read(store))).toEqual({
    'shop-admins': { grantsOfOneUser: 2, approvals: 5, approvers: 2 },
    quiet: { grantsOfOneUser: 0, approvals: 0, approvers: 0 },
  });
});

test('reads no further than a week, and never more than two thousand', async () => {
  const old = storeOf(Array.from({ length: 1000 }, (_, index) => granted((9 + index) * DAY, 'jane', 'bo')));
  await read(old);
  expect(old.pages()).toBe(1);
  const flood = storeOf(Array.from({ length: 5000 }, (_, index) => granted(index, 'jane', 'bo')));
  expect((await read(flood)).get('shop-admins')?.approvals).toBe(2000);
  expect(flood.pages()).toBe(20);
});
