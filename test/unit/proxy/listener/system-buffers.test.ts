import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { endpointsOf, ProcNetTcp } from '../../../../src/proxy/listener/system-buffers.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const REST = '00:00000000 00000000     0        0 1049 1 000000009deb06f5 100 0 0 10 0\n';

it('reads what is sent and not taken, and what is received and not read, of connections that hold much', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-net-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'tcp');
  const line = (ends: string, queues: string): string => `   0: ${ends} 01 ${queues} ${REST}`;
  const lines = [
    line('0200000A:01BB 0100000A:C350', '003D0900:00000000'),
    line('0200000A:01BB 0100000A:C351', '00010000:00020000'),
    line('0200000A:01BB 0100000A:C352', '00000FFF:00000FFF'),
    line('B80D0120000000000000000001000000:01BB B80D0120000000000000000002000000:C350', '00000000:00010000'),
  ];
  writeFileSync(file, `${HEAD}${lines.join('')}`);
  const buffers = new ProcNetTcp([file, join(folder, 'none')]);
  const before = performance.now();
  await expect.poll(() => buffers.lookedMs).toBeGreaterThanOrEqual(before);
  expect([
    buffers.of('10.0.0.1 50000 10.0.0.2 443'),
    buffers.of('10.0.0.1 50001 10.0.0.2 443'),
    buffers.of('10.0.0.1 50002 10.0.0.2 443'),
    buffers.of('2001:db8::2 50000 2001:db8::1 443'),
    buffers.of('10.0.0.9 50000 10.0.0.2 443'),
  ]).toEqual([4_000_000, 196_608, 0, 65_536, 0]);
});

it.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
  'finds the sockets of this process by their ends, at %s',
  async (host) => {
    const server = createServer({ pauseOnConnect: true }).listen(0, host);
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect((server.address() as AddressInfo).port, host);
    const [unread] = await accepted;
    onTestFinished(() => {
      for (const socket of [client, unread]) socket.destroy();
      server.close();
    });
    // More than the system takes.
    client.write(Buffer.alloc(2 ** 26));
    const buffers = new ProcNetTcp();
    await expect.poll(() => buffers.of(endpointsOf(unread))).toBeGreaterThan(60_000);
    await expect.poll(() => buffers.of(endpointsOf(client))).toBeGreaterThan(60_000);
  },
);
