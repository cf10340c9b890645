import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { monitoringPort } from '../../demo/demo.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

const DEMO = fileURLToPath(new URL('../../demo/main.ts', import.meta.url));

interface Demo {
  readonly said: () => string;
  /** @returns its exit status */
  stop(): Promise<unknown>;
  readonly prometheus: string;
}

async function startDemoProcess(environment: NodeJS.ProcessEnv): Promise<Demo> {
  const directory = await temporaryFolder();
  const base = await freePortBase();
  const options = ['--dir', directory, '--port-base', String(base), '--with-monitoring'];
  const child = spawn(process.execPath, [DEMO, ...options], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(directory, { recursive: true, force: true });
  });
  return {
    said: () => said,
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      return code;
    },
    prometheus: `http://127.0.0.1:${monitoringPort(base)}`,
  };
}

const READY = { timeout: 50_000, interval: 100 };

it('starts Prometheus with the demo, prints its address, and ends it with the demo', async () => {
  const demo = await startDemoProcess({});
  await expect.poll(demo.said, READY).toContain(`Prometheus watches it:  ${demo.prometheus}`);
  expect(demo.said()).toContain(`${demo.prometheus}/alerts`);
  const up = async (): Promise<string> =>
    (await fetch(`${demo.prometheus}/api/v1/query?query=portcullis_build_info`)).text();
  await expect.poll(up, READY).toContain('"job":"portcullis"');
  expect(await demo.stop()).toBe(0);
  await expect(fetch(demo.prometheus)).rejects.toThrow('fetch failed');
});

it('runs the demo without Prometheus where it is not installed, and prints how to get it', async () => {
  const demo = await startDemoProcess({ PATH: '/nowhere' });
  await expect.poll(demo.said, READY).toContain('Prometheus does not run. On Debian: apt-get install');
  expect(demo.said()).toContain('Portcullis is up');
  expect(await demo.stop()).toBe(0);
});
