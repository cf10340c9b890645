/** A real Alertmanager on loopback that hands every alert to the test. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { stringify } from 'yaml';
import { freePort } from '../../demo/ports.ts';
import { end } from '../../demo/redis-server.ts';

export interface ReceivedAlert {
  readonly status: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface TestAlertmanager {
  /** `host:port` for Prometheus. */
  readonly address: string;
  /** What its webhook has received so far. */
  readonly received: readonly ReceivedAlert[];
  stop(): Promise<void>;
}

export async function startAlertmanager(directory: string): Promise<TestAlertmanager> {
  const received: ReceivedAlert[] = [];
  const receiver = createServer((request, response) => {
    void (async () => {
      const { alerts } = (await json(request)) as { alerts: readonly ReceivedAlert[] };
      received.push(...alerts);
      response.end();
    })();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port: webhook } = receiver.address() as AddressInfo;
  const config = join(directory, 'alertmanager.yml');
  await writeFile(
    config,
    stringify({
      route: { receiver: 'test', group_by: ['alertname'], group_wait: '100ms', group_interval: '1s' },
      receivers: [{ name: 'test', webhook_configs: [{ url: `http://127.0.0.1:${webhook}/` }] }],
    }),
  );
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const files = [`--config.file=${config}`, `--storage.path=${join(directory, 'alertmanager')}`];
  const child = spawn(
    'prometheus-alertmanager',
    [...files, `--web.listen-address=${address}`, '--cluster.listen-address='],
    { stdio: 'ignore' },
  );
  await once(child, 'spawn');
  return {
    address,
    received,
    stop: async () => {
      await end(child, 'SIGTERM');
      receiver.closeAllConnections();
      receiver.close();
    },
  };
}
