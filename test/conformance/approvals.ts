import { expect, it } from 'vitest';

import { parallel, type OpenStore, type StoreUnderTest } from './fixtures.ts';

const lab = { kind: 'provider', provider: 'lab' } as const;

const save = ({ store }: StoreUnderTest, id = 'approval') =>
  store.artefacts.save('Approval', id, { deed: 'provider:lab' }, { ttlSeconds: 900 });

const revoke = ({ store }: StoreUnderTest, requestId: string, approval = 'approval') =>
  store.log.append({ requestId, target: lab, approval });

const isLeft = async ({ store }: StoreUnderTest): Promise<boolean> =>
  (await store.artefacts.find('Approval', 'approval')) !== undefined;

const spent = { code: 'conflict', reason: 'approval_spent' };

/** An approval goes with the revocation that it allows: both, or neither. */
export function approvalsConform(open: OpenStore): void {
  it('spends an approval with the revocation, and lets it serve no other', async () => {
    const subject = await open();
    await save(subject);
    expect(await revoke(subject, 'one')).toMatchObject({ position: { number: 1 } });
    expect(await isLeft(subject)).toBe(false);
    await expect(revoke(subject, 'two')).rejects.toMatchObject(spent);
    expect((await subject.store.log.position()).number).toBe(1);
  });

  it('lets one approval serve exactly one of 50 revocations that race for it', async () => {
    const subject = await open();
    await save(subject);
    const outcomes = await parallel(50, (index) =>
      revoke(subject, `request-${index}`).then(
        () => 'written',
        (error: unknown) => (error as { reason?: string }).reason,
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'approval_spent')).toHaveLength(49);
    expect((await subject.store.log.position()).number).toBe(1);
  });

  it('answers the same request again although its approval is spent, and leaves a new approval alone', async () => {
    const subject = await open();
    await save(subject);
    const first = await revoke(subject, 'same');
    await save(subject);
    expect(await revoke(subject, 'same')).toEqual(first);
    expect(await isLeft(subject)).toBe(true);
  });

  it('writes nothing without the approval: unknown, over, or of another kind', async () => {
    const subject = await open();
    const { store, clock } = subject;
    await store.artefacts.save('Drill', 'approval', {}, { ttlSeconds: 900 });
    await expect(revoke(subject, 'other kind')).rejects.toMatchObject(spent);
    await save(subject);
    clock.advance(900);
    await expect(revoke(subject, 'over')).rejects.toMatchObject(spent);
    const lock = { reason: 'x', by: 'root', at: clock.seconds() };
    const locking = {
      requestId: 'lock',
      target: { kind: 'account', account: 'corp/1' },
      lock,
      approval: 'none',
    } as const;
    await expect(store.log.append(locking)).rejects.toMatchObject(spent);
    expect(await store.locks.list()).toEqual([]);
    expect((await store.log.position()).number).toBe(0);
  });

  it('takes the same request id of another account for another request', async () => {
    const { store } = await open();
    await store.artefacts.save('Approval', 'approval', { deed: 'provider:lab' }, { ttlSeconds: 900 });
    const request = { requestId: 'same', target: lab, by: 'corp/1' } as const;
    const first = await store.log.append({ ...request, approval: 'approval' });
    expect(await store.log.hasWritten(request)).toBe(true);
    expect(await store.log.hasWritten({ ...request, by: 'corp/2' })).toBe(false);
    const other = store.log.append({ ...request, by: 'corp/2', approval: 'approval' });
    await expect(other).rejects.toMatchObject({ reason: 'request_id_reused' });
    expect(await store.log.append({ ...request, approval: 'approval' })).toEqual(first);
  });

  it('leaves the approval where the request id stands for something else', async () => {
    const subject = await open();
    await subject.store.log.append({ requestId: 'same', target: { kind: 'all' } });
    await save(subject);
    await expect(revoke(subject, 'same')).rejects.toMatchObject({ reason: 'request_id_reused' });
    expect(await isLeft(subject)).toBe(true);
  });

  it('knows a request that is written, for as long as it is answered again, and no other', async () => {
    const { store, clock } = await open();
    const request = { requestId: 'same', target: lab };
    expect(await store.log.hasWritten(request)).toBe(false);
    await store.log.append(request);
    expect(await store.log.hasWritten(request)).toBe(true);
    expect(await store.log.hasWritten({ ...request, requestId: 'other' })).toBe(false);
    expect(await store.log.hasWritten({ ...request, target: { kind: 'all' } })).toBe(false);
    expect(await store.log.hasWritten({ ...request, by: 'corp/1' })).toBe(false);
    clock.advance(600);
    expect(await store.log.hasWritten(request)).toBe(false);
    expect((await store.log.position()).number).toBe(1);
  });
}
