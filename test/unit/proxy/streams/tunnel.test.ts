import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { joinSockets } from '../../../../src/proxy/streams/tunnel.ts';

interface Ends {
  /** The tunnel's own objects. */
  readonly client: Duplex;
  readonly upstream: Duplex;
  /** The two peers that use it. */
  readonly user: Duplex;
  readonly server: Duplex;
  /** The sides that were reset. */
  readonly resets: readonly string[];
  /** How often the client left something behind, and how often that was over. */
  readonly left: { before: number; over: number };
}

function join(): Ends {
  const [client, user] = duplexPair();
  const [upstream, server] = duplexPair();
  const none = Buffer.alloc(0);
  const resets: string[] = [];
  const left = { before: 0, over: 0 };
  const toClient = joinSockets({
    client,
    upstream,
    upstreamFlow: upstream,
    clientHead: none,
    mayPass: () => true,
    fromClient: () => undefined,
    fromUpstream: () => undefined,
    clientLeft: () => {
      left.before += 1;
      return () => void (left.over += 1);
    },
    resetClient: () => {
      resets.push('client');
      client.destroy();
    },
    resetUpstream: () => {
      resets.push('upstream');
      upstream.destroy();
    },
  });
  upstream.on('data', (piece: Buffer) => toClient(piece));
  for (const end of [user, server]) end.resume();
  return { client, upstream, user, server, resets, left };
}

const closed = (...streams: readonly Duplex[]): Promise<unknown> =>
  Promise.all(streams.map(async (stream) => stream.closed || once(stream, 'close')));

describe('a tunnel', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  it('keeps nothing once both sides have closed in turn', async () => {
    const { client, upstream, user, server } = join();
    user.end();
    server.end();
    await closed(client, upstream);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('notices the end of a side that was sending more than the other read', async () => {
    const { client, upstream, user, server } = join();
    user.pause();
    while (server.write(Buffer.alloc(65_536)));
    user.end();
    await once(client, 'end');
    expect(upstream.isPaused()).toBe(true);
    client.destroy();
    server.end();
    await closed(client, upstream);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('resets an API server’s side that does not follow the client’s after a grace, with what it has not taken', async () => {
    const { client, upstream, user, resets, left } = join();
    user.end();
    upstream.on('end', () => undefined);
    client.end();
    await closed(client);
    expect(upstream.destroyed).toBe(false);
    expect([vi.getTimerCount(), left]).toEqual([1, { before: 1, over: 0 }]);
    vi.runAllTimers();
    await closed(upstream);
    expect([vi.getTimerCount(), resets]).toEqual([0, ['upstream']]);
    await turn();
    expect(left).toEqual({ before: 1, over: 1 });
  });

  it('closes a client’s side that does not follow the other, and leaves what it has not read yet to the system', async () => {
    const { client, upstream, server, resets } = join();
    server.end();
    client.on('end', () => undefined);
    upstream.end();
    await closed(upstream);
    vi.runAllTimers();
    await closed(client);
    expect([vi.getTimerCount(), resets]).toEqual([0, []]);
  });
});
