import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endWithStatus } from '../../../../src/proxy/listener/raw-response.ts';
import { malformed } from '../../../../src/proxy/rejections.ts';

describe('a socket that Node has passed on', () => {
  let client: Duplex;
  let socket: Duplex;
  beforeEach(() => {
    [client, socket] = duplexPair();
    client.resume();
  });
  afterEach(() => vi.useRealTimers());
  const reject = (): void =>
    endWithStatus(socket, malformed('no', 'no'), { auditId: 'a', connection: { reset: () => void socket.destroy() } });

  it('closes when the client does, also if a byte of it was never read', async () => {
    client.write('x');
    reject();
    client.end();
    await expect.poll(() => socket.closed).toBe(true);
  });

  it('is reset if the client keeps its side open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    reject();
    vi.advanceTimersByTime(9_000);
    expect(socket.destroyed).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect(socket.destroyed).toBe(true);
  });
});
