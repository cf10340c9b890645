import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';

const MOST = 32;
let instance: RunningDemo;
beforeAll(async () => {
  instance = await startTestInstance({ file: (settings) => ({ ...settings, limits: { connections: MOST } }) });
});
afterAll(() => instance.stop());

it('a client that holds as many connections to the web listener as there may be keeps no user from signing in', async () => {
  const { host, hostname, port } = new URL(instance.urls.web);
  let dropped = 0;
  for (let each = 0; each < 2 * MOST; each += 1) {
    const socket = connect(Number(port), hostname).resume();
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined).once('close', () => (dropped += 1));
    socket.write(`GET /login HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  }
  await expect.poll(() => dropped, { timeout: 20_000 }).toBeGreaterThanOrEqual(MOST);
  const signIn = (): Promise<string> =>
    fetch(`${instance.urls.web}/login`, { redirect: 'manual', headers: { connection: 'close' } }).then(
      ({ status }) => String(status),
      () => 'no connection',
    );
  await expect.poll(signIn, { timeout: 20_000 }).toBe('303');
});
