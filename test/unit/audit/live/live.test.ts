import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AuditTrail } from '../../../../src/audit/audit.ts';
import { createLiveAuditLog, type LiveChannel, type LiveAuditLog } from '../../../../src/audit/live/live.ts';
import type { LiveFilter } from '../../../../src/audit/live/live-filter.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { anEvent, Counts, LogLines, numbered, trailInto } from '../fixtures.ts';

/** Keeps what is published, or refuses it. */
class Channel implements LiveChannel {
  filters: readonly LiveFilter[] = [];
  looks = 0;
  calls = 0;
  away = false;
  hold: Promise<void> | undefined;
  readonly published: string[] = [];

  /** Of `filters` by their place, with the incarnation. */
  readonly accepted: string[] = [];
  readonly #waiters = new Set<() => void>();

  async subscriptions(replica: string): ReturnType<LiveChannel['subscriptions']> {
    this.looks += 1;
    return this.filters.map((filter, index) => ({
      id: String(index),
      filter,
      accepted: this.accepted.includes(`${replica} ${index}`),
    }));
  }

  async accept(replica: string, subscriptions: readonly string[]): Promise<void> {
    this.accepted.push(...subscriptions.map((id) => `${replica} ${id}`));
  }

  async waitForSubscription(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiters.add(resolve);
      signal.addEventListener('abort', () => resolve());
    });
  }

  /** There is a subscription, and word of it. */
  tell(...filters: readonly LiveFilter[]): void {
    this.filters = filters;
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }

  async publish(texts: readonly string[]): Promise<void> {
    this.calls += 1;
    await this.hold;
    if (this.away) throw new Error('away');
    this.published.push(...texts);
  }
}

interface Stage {
  readonly channel: Channel;
  readonly counts: Counts;
  readonly log: LogLines;
  readonly recorded: AuditEvent[];
  readonly trail: AuditTrail;
  readonly live: LiveAuditLog;
}

const running: LiveAuditLog[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((live) => live.stop()));
});

const stage = (...filters: readonly LiveFilter[]): Promise<Stage> => stageThatLooks(5, 2, ...filters);

async function stageThatLooks(pollMs: number, looks: number, ...filters: readonly LiveFilter[]): Promise<Stage> {
  const [channel, counts, log] = [new Channel(), new Counts(), new LogLines()];
  channel.filters = filters;
  const live = createLiveAuditLog({ metrics: counts, logger: log, pollMs });
  running.push(live);
  const recorded: AuditEvent[] = [];
  const trail = live.wrap(trailInto(recorded));
  live.start(channel, 'replica-1');
  await vi.waitFor(() => expect(channel.looks).toBeGreaterThanOrEqual(looks));
  return { channel, counts, log, recorded, trail, live };
}

const publishedBy = ({ channel }: Stage, count: number): Promise<void> =>
  vi.waitFor(() => expect(channel.published).toHaveLength(count));

describe('a replica', () => {
  test('publishes nothing while no one tails, and records all the same', async () => {
    const at = await stage();
    at.trail.record(numbered(1));
    await at.live.stop();
    expect(at.recorded).toHaveLength(1);
    expect(at.channel.calls).toBe(0);
  });

  test('looks as soon as there is word of a subscription, and says once that it has taken it up', async () => {
    const at = await stageThatLooks(3_600_000, 1);
    at.channel.tell({});
    await vi.waitFor(() => expect(at.channel.accepted).toEqual(['replica-1 0']));
    at.trail.record(numbered(1));
    await publishedBy(at, 1);
    await vi.waitFor(() => {
      at.channel.tell({});
      expect(at.channel.looks).toBeGreaterThan(2);
    });
    expect(at.channel.accepted).toEqual(['replica-1 0']);
  });

  test('publishes what someone wants to see, in order, as it stands in the audit log', async () => {
    const at = await stage({ user: 'corp:alice' }, { verb: 'delete' });
    at.trail.record(anEvent({ user: { username: 'corp:bob' } }));
    // Written ahead: it is in the audit log, and would be shown twice.
    await at.trail.recordAhead(anEvent({ ...numbered(1), stage: 'RequestReceived' }));
    at.trail.record(numbered(1));
    at.trail.record(anEvent({ user: { username: 'corp:bob' }, verb: 'delete', auditID: 'event-2' }));
    await publishedBy(at, 2);
    expect(at.recorded).toHaveLength(4);
    expect(at.channel.published.map((line) => (JSON.parse(line) as AuditEvent).auditID)).toEqual([
      'event-1',
      'event-2',
    ]);
    expect(at.counts.of('live written')).toBe(2);
  });

  test('keeps hostile text on its line and takes tokens out of it, as in the audit log', async () => {
    const at = await stage({});
    const token = `eyJhbGciOiJFUzI1NiJ9.${'e'.repeat(20)}.${'s'.repeat(20)}`;
    at.trail.record(anEvent({ userAgent: `a\n\u2028\u009bdata: evil ${token}` }));
    await publishedBy(at, 1);
    expect(at.channel.published[0]).not.toMatch(/[\n\u2028\u009b]/);
    expect(at.channel.published[0]).not.toContain('eyJ');
  });

  test('never waits for the channel, drops what it cannot hold, and says how much', async () => {
    const at = await stage({});
    const held = Promise.withResolvers<void>();
    at.channel.hold = held.promise;
    for (let index = 0; index < 3000; index += 1) at.trail.record(numbered(index));
    expect(at.recorded).toHaveLength(3000);
    expect(at.counts.of('live dropped')).toBe(2000);
    held.resolve();
    await publishedBy(at, 1001);
    const first = JSON.parse(at.channel.published[0] ?? '') as unknown;
    expect(first).toEqual({ dropped: 2000 });
  });

  test('goes on when the channel is back, with one word in the log', async () => {
    const at = await stage({});
    at.channel.away = true;
    for (let index = 0; index < 60; index += 1) at.trail.record(numbered(index));
    await vi.waitFor(() => expect(at.counts.of('live dropped')).toBe(60));
    expect(at.log.lines).toHaveLength(1);
    at.channel.away = false;
    at.trail.record(numbered(61));
    await publishedBy(at, 2);
    expect(JSON.parse(at.channel.published[0] ?? '')).toEqual({ dropped: 60 });
  });

  test('stops publishing when no one tails any more', async () => {
    const at = await stage({});
    at.channel.filters = [];
    const { looks } = at.channel;
    await vi.waitFor(() => expect(at.channel.looks).toBeGreaterThan(looks + 1));
    at.trail.record(numbered(1));
    await at.live.stop();
    expect(at.channel.calls).toBe(0);
  });

  test('shows its last message when it stops', async () => {
    const at = await stage({});
    for (let index = 0; index < 70; index += 1) at.trail.record(numbered(index));
    await at.live.stop();
    expect(at.channel.published).toHaveLength(70);
  });
});
