import { expect, test } from 'vitest';
import { receiptBody } from '../../../../src/web/admin/receipt-page.ts';

const result = {
  id: 'r-1',
  at: '2026-11-25T12:00:00.123Z',
  sessions: 1,
  streamsClosed: 3,
  complete: false,
  elapsedMs: 1234,
  canSignInAgain: false,
  missing: ['replica portcullis-b (within 700 ms)'],
};

test('each replica keeps its row in the receipt while the others come in', () => {
  const applied = { state: 'applied', ms: 3, streamsClosed: 1 } as const;
  const early = [
    { id: 'portcullis-c', ...applied },
    { id: 'portcullis-a', ...applied },
    { id: 'portcullis-b', state: 'pending' },
  ] as const;
  const text = receiptBody({ ...result, replicas: early }, { live: '/live', followed: true, mayAct: true }).toString();
  const names = [...text.matchAll(/data-text="id">(portcullis-\w)</g)].map(([, name]) => name);
  expect(names).toEqual(['portcullis-a', 'portcullis-b', 'portcullis-c']);
});

test('a receipt whose admin has no session any more has no live view', () => {
  const replicas = [{ id: 'portcullis-a', state: 'applied', ms: 1 }] as const;
  expect(receiptBody({ ...result, replicas }, { followed: true, mayAct: true }).toString()).not.toContain('data-live');
});
