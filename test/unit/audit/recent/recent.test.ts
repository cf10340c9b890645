import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AuditTrail } from '../../../../src/audit/audit.ts';
import { createRecentRequests, type RecentChannel, type RecentRequests } from '../../../../src/audit/recent/recent.ts';
import { portcullisEvent, type AuditEvent } from '../../../../src/core/audit/event.ts';
import type { RecentRequest } from '../../../../src/core/audit/recent-request.ts';
import { anEvent, LogLines, range, trailInto } from '../fixtures.ts';

interface Added {
  readonly session: string;
  readonly requests: readonly RecentRequest[];
}

/** Keeps what is added, or refuses it. */
class Channel implements RecentChannel {
  away = false;
  calls = 0;
  adding = 0;
  mostAtOnce = 0;
  hold: Promise<void> | undefined;
  readonly added: Added[] = [];

  async add(session: string, requests: readonly RecentRequest[]): Promise<void> {
    this.calls += 1;
    this.adding += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.adding);
    await (this.hold ?? Promise.resolve());
    this.adding -= 1;
    if (this.away) throw new Error('away');
    this.added.push({ session, requests });
  }

  idsOf(session: string): readonly string[] {
    return this.added
      .filter((one) => one.session === session)
      .flatMap(({ requests }) => requests.map((r) => r.auditId));
  }
}

interface Stage {
  readonly channel: Channel;
  readonly log: LogLines;
  readonly recorded: AuditEvent[];
  readonly trail: AuditTrail;
  readonly recent: RecentRequests;
}

const running: RecentRequests[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((recent) => recent.stop()));
});

/** @param everyMs how often it writes; by default only when it is stopped */
function stage({ everyMs = 3_600_000, stopMs = 60_000 } = {}): Stage {
  const [channel, log] = [new Channel(), new LogLines()];
  const recent = createRecentRequests({ logger: log, everyMs, stopMs });
  running.push(recent);
  const recorded: AuditEvent[] = [];
  const trail = recent.wrap(trailInto(recorded));
  recent.start(channel);
  return { channel, log, recorded, trail, recent };
}

const requestOf = (session: string, auditID: string, change: Partial<AuditEvent> = {}): AuditEvent =>
  anEvent({ auditID, annotations: { 'portcullis.dev/session': session, 'portcullis.dev/cluster': 'prod' }, ...change });

describe('recent requests', () => {
  test('are written in their order, session by session, beside the audit log', async () => {
    const { trail, recent, channel, recorded } = stage();
    for (const [session, id] of [
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ] as const)
      trail.record(requestOf(session, id));
    expect(channel.calls).toBe(0);
    await recent.stop();
    expect(recorded).toHaveLength(3);
    expect(channel.idsOf('a')).toEqual(['1', '3']);
    expect(channel.idsOf('b')).toEqual(['2']);
    expect(channel.calls).toBe(2);
  });

  test('are written again and again, each once', async () => {
    const { trail, channel } = stage({ everyMs: 5 });
    for (const id of ['1', '2', '3']) {
      trail.record(requestOf('a', id));
      await vi.waitFor(() => expect(channel.idsOf('a')).toContain(id));
    }
    expect(channel.idsOf('a')).toEqual(['1', '2', '3']);
  });

  test('that came while others were written wait for the next round, and need no other event for it', async () => {
    const { trail, channel } = stage({ everyMs: 5 });
    const instance = Promise.withResolvers<undefined>();
    channel.hold = instance.promise;
    trail.record(requestOf('a', '1'));
    await vi.waitFor(() => expect(channel.calls).toBe(1));
    trail.record(requestOf('a', '2'));
    instance.resolve(undefined);
    await vi.waitFor(() => expect(channel.idsOf('a')).toEqual(['1', '2']));
  });

  test('are those of a session of ours, and nothing that Portcullis itself did', async () => {
    const { trail, recent, channel, recorded } = stage();
    trail.record(anEvent());
    await trail.recordAhead(requestOf('a', '1', { stage: 'RequestReceived' }));
    const event = { auditId: '2', at: 0, requestUri: '/', sourceIps: [], code: 200, session: 'a' } as const;
    trail.record(portcullisEvent({ ...event, event: 'sign-in' }));
    await recent.stop();
    expect(recorded).toHaveLength(3);
    expect(channel.calls).toBe(0);
  });

  test('are the newest 50 of a session', async () => {
    const { trail, recent, channel } = stage();
    for (const n of range(1234)) trail.record(requestOf('a', String(n)));
    await recent.stop();
    expect(channel.idsOf('a')).toEqual(range(50).map((n) => String(1184 + n)));
  });

  test('show a stream by its beginning while it is open, and by its end once it has come', async () => {
    const { trail, recent, channel } = stage();
    const start = { stage: 'ResponseStarted', verb: 'watch' } as const;
    trail.record(requestOf('a', 'ended', start));
    trail.record(requestOf('a', 'open', start));
    trail.record(requestOf('a', 'ended', { verb: 'watch', responseStatus: { code: 410 } }));
    await recent.stop();
    const [{ requests } = { requests: [] }] = channel.added;
    expect(requests.map(({ auditId, code }) => [auditId, code])).toEqual([
      ['open', 200],
      ['ended', 410],
    ]);
  });

  test('are bounded: what comes of a session too many is forgotten until the next round', async () => {
    const { trail, recent, channel } = stage();
    for (const n of range(2001)) trail.record(requestOf(`s${n}`, '1'));
    trail.record(requestOf('s0', '2'));
    await recent.stop();
    expect(channel.calls).toBe(2000);
    expect(channel.idsOf('s0')).toEqual(['1', '2']);
    expect(channel.idsOf('s2000')).toEqual([]);
  });

  test('are written a few sessions at a time', async () => {
    const { trail, recent, channel } = stage();
    for (const n of range(20)) trail.record(requestOf(`s${n}`, '1'));
    await recent.stop();
    expect(channel.mostAtOnce).toBe(4);
    expect(channel.calls).toBe(20);
  });
});

describe('a store that keeps nothing', () => {
  test('is said once for each time that it goes away, and disturbs no one', async () => {
    const { trail, channel, log, recorded } = stage({ everyMs: 5 });
    channel.away = true;
    const until = async (calls: number) => {
      while (channel.calls < calls) {
        for (const session of ['a', 'b', 'c', 'd', 'e', 'f']) trail.record(requestOf(session, '1'));
        await new Promise(setImmediate);
      }
    };
    await until(20);
    expect(log.lines.map(({ level, message }) => [level, message])).toEqual([
      ['info', 'recent requests of sessions could not be kept; the audit log has them'],
    ]);
    channel.away = false;
    await vi.waitFor(async () => {
      await until(channel.calls + 1);
      expect(channel.added).not.toEqual([]);
    });
    channel.away = true;
    await vi.waitFor(async () => {
      await until(channel.calls + 1);
      expect(log.lines).toHaveLength(2);
    });
    expect(recorded.length).toBeGreaterThan(100);
  });

  test('is not asked for every session in turn', async () => {
    const { trail, recent, channel } = stage();
    channel.away = true;
    for (const n of range(100)) trail.record(requestOf(`s${n}`, '1'));
    await recent.stop();
    expect(channel.calls).toBe(4);
  });
});

describe('when it is stopped', () => {
  test('it waits for the round that runs, writes the rest once, and takes no more', async () => {
    const { trail, recent, channel, recorded } = stage({ everyMs: 5 });
    const instance = Promise.withResolvers<undefined>();
    channel.hold = instance.promise;
    trail.record(requestOf('a', '1'));
    await vi.waitFor(() => expect(channel.calls).toBe(1));
    trail.record(requestOf('a', '2'));
    const stopped = recent.stop();
    trail.record(requestOf('a', '3'));
    expect(channel.calls).toBe(1);
    instance.resolve(undefined);
    await stopped;
    await recent.stop();
    expect(channel.idsOf('a')).toEqual(['1', '2']);
    expect(recorded).toHaveLength(3);
  });

  test('it gives up what cannot be written in time', async () => {
    const { trail, recent, channel } = stage({ stopMs: -1 });
    trail.record(requestOf('a', '1'));
    await recent.stop();
    expect(channel.calls).toBe(0);
  });
});

test('keeps nothing, and records all, before it has somewhere to keep it', async () => {
  const recent = createRecentRequests({ logger: new LogLines() });
  const recorded: AuditEvent[] = [];
  const trail = recent.wrap(trailInto(recorded, true));
  trail.record(requestOf('a', '1'));
  const channel = new Channel();
  recent.start(channel);
  await recent.stop();
  expect(recorded).toHaveLength(1);
  expect(trail.blocked).toBe(true);
  expect(channel.calls).toBe(0);
});
