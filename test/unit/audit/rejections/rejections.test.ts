import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { limitRejections } from '../../../../src/audit/rejections/rejections.ts';
import { requestEvent, type AuditEvent } from '../../../../src/core/audit/event.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { anEvent, range, trailInto } from '../fixtures.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function aTrail(perMinute: number) {
  const recorded: AuditEvent[] = [];
  let omitted = 0;
  const metrics = { rejectionOmitted: () => void (omitted += 1) };
  const trail = limitRejections(trailInto(recorded), { perMinute, metrics, nowMs: () => 0 });
  const from = (address: string, session?: string): void => {
    const annotations = session === undefined ? {} : { 'portcullis.dev/session': session };
    const user = session === undefined ? {} : { username: 'corp:alice' };
    trail.record(
      anEvent({ user, sourceIPs: [address], responseStatus: { code: 401, status: 'Failure' }, annotations }),
    );
  };
  /** Who was left out how often, as the events of the end of a minute say. */
  const counts = (): readonly string[] =>
    recorded
      .filter(({ verb }) => verb === 'rejections-omitted')
      .map(({ sourceIPs, annotations }) => {
        const fact = (name: string): string => annotations[`portcullis.dev/${name}`] ?? '';
        const who = fact('session') || sourceIPs[0] || `${fact('addresses')} addresses`;
        return `${who}: ${fact('omitted')}`;
      });
  const written = (): number => recorded.filter(({ responseStatus }) => responseStatus?.code === 401).length;
  return { trail, recorded, from, counts, written, omitted: () => omitted };
}

describe('rejections', () => {
  it('of one address are so many a minute, and the next minute as many again', () => {
    const { from, counts, written, omitted } = aTrail(2);
    for (const _ of range(5)) from('192.0.2.1');
    from('192.0.2.2');
    expect([written(), omitted(), counts()]).toEqual([3, 3, []]);
    vi.advanceTimersByTime(60_000);
    expect(counts()).toEqual(['192.0.2.1: 3']);
    for (const _ of range(3)) from('192.0.2.1');
    expect(written()).toBe(5);
    vi.advanceTimersByTime(60_000);
    expect(counts()).toEqual(['192.0.2.1: 3', '192.0.2.1: 1']);
    // Nothing runs while no one is rejected.
    expect(vi.getTimerCount()).toBe(0);
  });

  it('count an IPv6 /64 as one address, and a session of ours apart from the address that it is used from', () => {
    const { from, counts, written } = aTrail(1);
    for (const n of range(4)) from(`2001:db8:1:2::${n}`);
    from('2001:db8:1:3::1');
    for (const _ of range(3)) from('2001:db8:1:2::1', 'session-1');
    expect(written()).toBe(3);
    vi.advanceTimersByTime(60_000);
    expect(counts()).toEqual(['2001:db8:1:2::0: 3', 'session-1: 2']);
  });

  it('of all addresses together are ten times as many, and beyond fifty addresses one number says the rest', () => {
    const { from, counts, written, omitted } = aTrail(2);
    for (const n of range(20_000)) from(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    for (const _ of range(10)) from('10.0.0.19');
    expect([written(), omitted()]).toEqual([20, 19_990]);
    vi.advanceTimersByTime(60_000);
    const told = counts();
    expect(told).toHaveLength(51);
    expect(told[0]).toBe('10.0.0.19: 10');
    // 10,000 addresses are remembered: of those twenty wrote one event, and 50 are named.
    expect(told.at(-1)).toBe('9931 addresses: 19931');
  });

  it('of sessions that have ended leave those of addresses their events, and those leave them theirs', () => {
    const { from, written } = aTrail(1);
    for (const n of range(20)) from('192.0.2.1', `session-${n}`);
    for (const n of range(20)) from(`192.0.2.${n}`);
    expect(written()).toBe(20);
  });

  // An attacker repeats a long target by 13 bytes.
  it('cost no look at the targets of those that are left out', () => {
    const { trail, written } = aTrail(2);
    const target = `/x?${'a&token=s3cret&'.repeat(100)}`;
    const about = {
      auditId: 'a',
      stage: 'ResponseComplete',
      requestUri: target,
      info: requestInfo('GET', target),
    } as const;
    const rejected = { ...about, sourceIps: ['192.0.2.1'], receivedAt: 0, at: 0 };
    const split = vi.spyOn(String.prototype, 'split');
    onTestFinished(() => split.mockRestore());
    for (const _ of range(50))
      trail.record(requestEvent({ ...rejected, status: { code: 401, reason: 'Unauthorized' } }));
    const looks = split.mock.calls.filter(([by]) => (by as unknown) === '&').length;
    expect([written(), looks]).toEqual([2, 2]);
  });

  it('say what was left out when the trail is closed, and leave everything else as it is', async () => {
    const { trail, from, counts, recorded } = aTrail(1);
    trail.record(anEvent());
    await trail.recordAhead(anEvent({ stage: 'RequestReceived' }));
    for (const _ of range(2)) from('192.0.2.1');
    await trail.close();
    expect(counts()).toEqual(['192.0.2.1: 1']);
    expect(recorded).toHaveLength(4);
  });
});
