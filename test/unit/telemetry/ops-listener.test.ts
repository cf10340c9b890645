import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createHealth,
  createLogger,
  createMetrics,
  createOpsListener,
  type Health,
  type Metrics,
} from '../../../src/telemetry/telemetry.ts';

interface Ops {
  readonly health: Health;
  readonly url: string;
  readonly server: Server;
  readonly log: () => string[];
}

async function ops(render?: Metrics['render']): Promise<Ops> {
  const lines: string[] = [];
  const logger = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } });
  const health = createHealth();
  const metrics = { ...createMetrics(), ...(render ? { render } : {}) };
  const server = createOpsListener({ metrics, health, logger });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { health, server, url: `http://127.0.0.1:${port}`, log: () => lines };
}

describe('the ops listener', () => {
  it('serves the metrics in the text format', async () => {
    const { url } = await ops();
    const response = await fetch(`${url}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('# TYPE portcullis_requests_total counter');
  });

  it('serves OpenMetrics to who asks for it, as Prometheus does', async () => {
    const { url } = await ops();
    const accept = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
    const response = await fetch(`${url}/metrics`, { headers: { accept } });
    expect(response.headers.get('content-type')).toContain('application/openmetrics-text; version=1.0.0');
    expect(await response.text()).toMatch(/# TYPE portcullis_requests counter\n[^]*\n# EOF\n$/);
  });

  it.each(['livez', 'readyz'])('answers /%s with ok', async (path) => {
    const { url } = await ops();
    const response = await fetch(`${url}/${path}`);
    expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
  });

  it('answers a probe where others hold as many connections as there may be', async () => {
    const { url, server } = await ops();
    const { port } = server.address() as AddressInfo;
    let closed = 0;
    for (let each = 0; each < 256; each += 1) {
      const socket = connect(port, '127.0.0.1');
      onTestFinished(() => void socket.destroy());
      socket.once('close', () => (closed += 1));
      // With a response on each: none is idle since its beginning.
      const answered = new Promise((resolve) => void socket.once('data', resolve));
      socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await answered;
    }
    for (let each = 0; each < 3; each += 1) {
      const response = await fetch(`${url}/livez`, { headers: { connection: 'close' } });
      expect(response.status).toBe(200);
    }
    await expect.poll(() => closed).toBe(1);
  });

  it('names each check with ?verbose, as Kubernetes does', async () => {
    const { url, health } = await ops();
    health.add('store', () => undefined);
    const response = await fetch(`${url}/readyz?verbose`);
    expect(await response.text()).toBe('[+]ping ok\n[+]store ok\n[+]shutdown ok\nreadyz check passed\n');
  });

  it('answers 503 and names what failed, asked for or not', async () => {
    const { url, health } = await ops();
    health.add('store', () => 'the store does not respond');
    const response = await fetch(`${url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(
      '[+]ping ok\n[-]store failed: the store does not respond\n[+]shutdown ok\nreadyz check failed\n',
    );
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  it('is unready while it drains', async () => {
    const { url, health } = await ops();
    health.drain();
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
  });

  it('leaves out a check that the platform judges by itself, as Kubernetes does, and none but that', async () => {
    const { url, health } = await ops();
    health.drain();
    expect((await fetch(`${url}/readyz?exclude=shutdown`)).status).toBe(200);
    health.add('store', () => 'the store does not respond');
    const response = await fetch(`${url}/readyz?exclude=shutdown`);
    expect([response.status, await response.text()]).toEqual([
      503,
      '[+]ping ok\n[-]store failed: the store does not respond\nreadyz check failed\n',
    ]);
    expect((await fetch(`${url}/readyz?exclude=store&exclude=shutdown`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
  });

  it('logs a change of readiness once, however often it is asked', async () => {
    const { url, health, log } = await ops();
    let problem: string | undefined;
    health.add('store', () => problem);
    for (const next of [undefined, undefined, 'away', 'away', undefined]) {
      problem = next;
      await (await fetch(`${url}/readyz`)).text();
    }
    expect(log().map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'ready to serve',
      'not ready to serve; load balancers send nothing here until these checks pass',
      'ready to serve',
    ]);
    expect(log()[1]).toContain('away');
  });

  it('answers HEAD without a body', async () => {
    const { url } = await ops();
    const response = await fetch(`${url}/readyz`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s with 405', async (method) => {
    const { url } = await ops();
    const response = await fetch(`${url}/metrics`, { method });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it.each(['/', '/metrics/', '/metrics/x', '/readyz/store', '/debug/pprof', '//metrics', '/%6detrics'])(
    'answers %s with 404',
    async (path) => {
      const { url } = await ops();
      expect((await fetch(`${url}${path}`)).status).toBe(404);
    },
  );

  it('answers 500 without the reason when it fails, and logs the reason', async () => {
    const { url, log } = await ops(() => Promise.reject(new Error('registry broken')));
    const response = await fetch(`${url}/metrics`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('registry');
    expect(log().join('')).toContain('registry broken');
  });

  it('survives nonsense on the wire', async () => {
    const { url, server } = await ops();
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.end('GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n\u0000\u0001');
    await text(socket).catch(() => '');
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });
});
