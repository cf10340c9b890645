/** The pod of `helm test`, with its command, environment and script, asked about a real server. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { podTemplateOf } from '../support/chart-pods.ts';
import { only, rendered, valuesOf, type KubernetesObject } from '../support/chart.ts';
import { startTestInstance } from '../support/instance.ts';

interface Said {
  readonly code: number;
  readonly said: string;
}

let objects: readonly KubernetesObject[];
let demo: RunningDemo;
let script: string;
let ours: Record<string, string>;

beforeAll(async () => {
  [objects, demo] = await Promise.all([rendered('--values', valuesOf('small')), startTestInstance()]);
  const { 'test.mjs': text = '' } = only(objects, 'ConfigMap', 'portcullis-test')['data'] as Record<string, string>;
  script = join(demo.files.directory, 'test.mjs');
  writeFileSync(script, text);
  const { api, ops, web } = demo.urls;
  ours = { OPS_URL: ops, WEB_URL: web, API_URL: api, PUBLIC_URL: web, API_HOSTS: 'localhost', REPLICAS: '1' };
});
afterAll(() => demo.stop());

/** Runs it as rendered, but for where this server listens. */
function test(change: Readonly<Record<string, string>> = {}): Promise<Said> {
  const [container] = podTemplateOf(only(objects, 'Pod')).spec.containers;
  const { command, env } = container as unknown as {
    readonly command: readonly string[];
    readonly env: readonly { readonly name: string; readonly value: string }[];
  };
  expect(command).toEqual(['node', '/test/test.mjs']);
  const given = Object.fromEntries(env.map(({ name, value }) => [name, value]));
  return new Promise((resolve) => {
    execFile(process.execPath, [script], { env: { ...given, ...ours, ...change } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: `${stdout}${stderr}` }),
    );
  });
}

it('asks about this release', () => {
  const [container] = podTemplateOf(only(objects, 'Pod')).spec.containers;
  expect(container?.['env']).toEqual([
    { name: 'OPS_URL', value: 'http://portcullis-ops.portcullis.svc:9090' },
    { name: 'WEB_URL', value: 'https://portcullis-web.portcullis.svc:443' },
    { name: 'API_URL', value: 'https://portcullis-api.portcullis.svc:6443' },
    { name: 'PUBLIC_URL', value: 'https://portcullis.example.com' },
    { name: 'API_HOSTS', value: 'api.portcullis.example.com prod.k8s.example.com' },
    { name: 'REPLICAS', value: '3' },
  ]);
});

it('passes where every replica is ready and both listeners respond as they should', async () => {
  const { code, said } = await test();
  expect(said.split('\n').map((line) => line.split(':')[0])).toEqual(['ok replicas', 'ok web', 'ok api', '']);
  expect(code).toBe(0);
});

it.each([
  ['a replica is missing', { REPLICAS: '2' }, /failed replicas: 1 replicas have an address, and 2 are wanted/],
  [
    'a certificate is for another host',
    { API_HOSTS: 'localhost other.example.com' },
    /failed api: .*other\.example\.com/,
  ],
  ['the web listener has another public URL', { PUBLIC_URL: 'https://other.example.com' }, /failed web: .*421/],
  ['the api listener is not there', { API_URL: 'https://127.0.0.1:1' }, /failed api: .*ECONNREFUSED/],
] as const)('fails, and says why, where %s', async (_what, change, why) => {
  const { code, said } = await test(change);
  expect(said).toMatch(why);
  expect(code).toBe(1);
});

it('fails where a replica is not ready', async () => {
  await demo.server.stop();
  const { code, said } = await test();
  expect(said).toMatch(/failed replicas/);
  expect(code).toBe(1);
});
