import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endWithStatus } from '../../../../src/proxy/listener/raw-response.ts';
import { malformed } from '../../../../src/proxy/rejections.ts';

describe('a socket that Node has handed over', () => {
  let client: Duplex;
  let socket: Duplex;
  beforeEach(() => {
    [client, socket] = duplexPair();
    client.resume();
  });
  afterEach(() => vi.useRealTimers());
  const refuse = (): void =>
    endWithStatus(socket, malformed('no', 'no'), { auditId: 'a', connection: { reset: () => void socket.destroy() } });

  it('closes when the client does, also where a byte of it was never read', async () => {
    client.write('x');
    refuse();
    client.end();
    await expect.poll(() => socket.closed).toBe(true);
  });

  it('is reset where the client keeps its side open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    refuse();
    vi.advanceTimersByTime(9_000);
    expect(socket.destroyed).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect(socket.destroyed).toBe(true);
  });
});
