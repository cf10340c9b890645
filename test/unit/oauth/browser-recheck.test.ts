import { beforeEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import { createBrowserRecheck } from '../../../src/oauth/browser-recheck.ts';
import type { RecheckOutcome } from '../../../src/oauth/recheck.ts';
import type { SessionRecord } from '../../../src/store/store.ts';

const MINUTE = 60_000;
const begun = Date.UTC(2030, 0, 1);

let nowMs: number;
let asked: string[];
let answer: (record: SessionRecord) => RecheckOutcome;
let record: SessionRecord;

beforeEach(() => {
  nowMs = begun;
  asked = [];
  record = {
    id: 'own',
    account: 'corp/alice',
    provider: 'corp',
    subject: 'alice',
    client: 'browser',
    identity: { username: 'corp:alice', uid: 'corp/alice', groups: ['corp:developers'], extra: {} },
    createdAt: begun / 1000,
    expiresAt: begun / 1000 + 86_400,
    idleSeconds: 86_400,
    address: '192.0.2.1',
    userAgent: 'test',
    startedAt: { epoch: 'e', number: 0 },
    version: 1,
    lastUsedAt: begun / 1000,
    checkedAt: begun / 1000,
  };
  answer = (found) => ({ kind: 'same', record: { ...found, checkedAt: nowMs / 1000 } });
});

const created = () =>
  createBrowserRecheck({
    sessions: { recheck: 300, recheckGrace: 900 },
    clock: { nowMs: () => nowMs },
    recheck: async (session) => {
      asked.push(session);
      return answer(record);
    },
  });

const unavailable = (): never => {
  throw new AppError('provider_unavailable', 'away');
};

describe('the provider of a browser’s session', () => {
  test('is asked every five minutes while the session is used, and not before', async () => {
    const recheck = created();
    nowMs += 4 * MINUTE;
    expect(await recheck(record)).toEqual({ record, isOverdue: false });
    expect(asked).toEqual([]);
    nowMs += 2 * MINUTE;
    record = (await recheck(record))?.record ?? record;
    expect(record.checkedAt).toBe(nowMs / 1000);
    await recheck(record);
    expect(asked).toEqual(['own']);
    nowMs += 6 * MINUTE;
    await recheck(record);
    expect(asked).toEqual(['own', 'own']);
  });

  test('changes its groups', async () => {
    nowMs += 6 * MINUTE;
    answer = (found) => ({ kind: 'changed', record: { ...found, identity: { ...found.identity, groups: [] } } });
    expect((await created()(record))?.record.identity.groups).toEqual([]);
  });

  test.each<[string, () => RecheckOutcome]>([
    ['rejects the user', () => ({ kind: 'refused', reason: 'x', message: 'x', asksFreshSignIn: false, record })],
    ['is asked about a session that has ended', () => ({ kind: 'gone' })],
  ])('%s: there is no session', async (_what, outcome) => {
    nowMs += 6 * MINUTE;
    answer = outcome;
    expect(await created()(record)).toBeUndefined();
  });

  test('is asked once by a hundred requests', async () => {
    nowMs += 6 * MINUTE;
    const recheck = created();
    await Promise.all(Array.from({ length: 100 }, () => recheck(record)));
    expect(asked).toEqual(['own']);
  });

  test('that gave no refresh token is asked no more often than others', async () => {
    nowMs += 6 * MINUTE;
    answer = (found) => ({ kind: 'same', record: found });
    const recheck = created();
    for (let minute = 0; minute < 6; minute += 1) {
      expect(await recheck(record)).toEqual({ record, isOverdue: false });
      nowMs += MINUTE;
    }
    expect(asked).toHaveLength(2);
  });

  test('that does not answer is asked once a minute, and the session is overdue after the grace', async () => {
    answer = unavailable;
    const recheck = created();
    nowMs += 6 * MINUTE;
    for (let time = 0; time < 10; time += 1) expect(await recheck(record)).toEqual({ record, isOverdue: false });
    expect(asked).toHaveLength(1);
    nowMs += 9 * MINUTE;
    for (let time = 0; time < 10; time += 1) expect(await recheck(record)).toEqual({ record, isOverdue: true });
    expect(asked).toHaveLength(2);
    answer = (found) => ({ kind: 'same', record: { ...found, checkedAt: nowMs / 1000 } });
    nowMs += 2 * MINUTE;
    expect(await recheck(record)).toMatchObject({ isOverdue: false });
  });

  test('is asked where the clock was set back', async () => {
    nowMs -= 60 * MINUTE;
    await created()(record);
    expect(asked).toEqual(['own']);
  });

  test('is not passed over where the store cannot be read', async () => {
    nowMs += 6 * MINUTE;
    answer = () => {
      throw new AppError('store_unavailable', 'away');
    };
    await expect(created()(record)).rejects.toMatchObject({ code: 'store_unavailable' });
  });
});
