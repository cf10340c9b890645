/** What kubectl pays for its credential: the shell front with a cached one, the full program, and what neither can be faster than. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestCertificates } from '../../integration/cli/certificates.ts';
import { buildProgram } from '../../support/built-program.ts';
import { FrontStage, SERVER, usual } from '../../support/cli-front.ts';
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';

const ROUNDS = 40;
const KUBECTL_ROUNDS = 15;

type Command = readonly [file: string, ...args: string[]];
type Times<Name extends string> = Record<Name, number[]>;

export async function* plugin(): AsyncIterable<BenchResult> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
  const program = await buildProgram(dir);
  const stage = new FrontStage(program);
  try {
    yield* await starts(stage, program);
    yield await kubectl(stage);
  } finally {
    stage.remove();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function starts(stage: FrontStage, program: string): Promise<BenchResult[]> {
  const entry = stage.signIn();
  const env = { ...process.env, PORTCULLIS_CACHE_DIR: stage.cacheDir };
  const commands = {
    front: [stage.front, ...usual()],
    program: [process.execPath, program, ...usual()],
    node: [process.execPath, '--eval', ''],
    noop: ['/bin/sh', '-c', ':'],
  } satisfies Record<string, Command>;
  const times: Times<keyof typeof commands> = { front: [], program: [], node: [], noop: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of ['front', 'program', 'node', 'noop'] as const) {
      // The parent is this process each time: without this it would have been rejected with the token.
      const served = join(entry.dir, 'served');
      for (const id of readdirSync(served)) {
        for (const note of readdirSync(join(served, id))) rmSync(join(served, id, note));
      }
      times[name].push(await timed(commands[name], env));
    }
  }
  const [front, full] = [median(times.front), median(times.program)];
  const [node, noop] = [median(times.node), median(times.noop)];
  const load = `${ROUNDS} rounds in turns, from start to end of the process; shell no-op ${shown(noop)}, Node that does nothing ${shown(node)}, full program ${shown(full)}`;
  return [
    { ...result('plugin-cached', front, { noop, node, program: full }, load), goal: '≤ 10', ok: front <= 10 },
    { ...result('plugin-program', full, { noop, node }, load), goal: '≤ 40', ok: full <= 40 },
  ];
}

const shown = (milliseconds: number): string => `${milliseconds.toFixed(1)} ms`;

const result = (
  name: string,
  portcullis: number,
  peers: Readonly<Record<string, number>>,
  load: string,
): Omit<BenchResult, 'goal' | 'ok'> => ({ name, unit: 'ms', portcullis, peers, ratio: null, load });

/** One request of the real kubectl, with the plugin and with a token in its file. */
async function kubectl(stage: FrontStage): Promise<BenchResult> {
  const { certificate, privateKey } = await createTestCertificates();
  // A key of any kind will do: no server checks it here, but kubectl reads it and presents it.
  stage.signIn({}, { binding: { certificate, privateKey } });
  const server = await startApi(certificate, privateKey);
  try {
    const { port } = server.address() as AddressInfo;
    const files = { plugin: exec(stage.front), static: { token: 'static' } };
    const times: Times<'plugin' | 'static'> = { plugin: [], static: [] };
    const env = { ...process.env, PORTCULLIS_CACHE_DIR: stage.cacheDir, HOME: stage.home };
    for (let round = 0; round < KUBECTL_ROUNDS; round += 1) {
      for (const name of ['plugin', 'static'] as const) {
        const file = join(stage.home, `kubeconfig-${name}`);
        writeFileSync(file, JSON.stringify(kubeconfig(port, files[name])));
        times[name].push(await timed(['kubectl', '--kubeconfig', file, 'get', '--raw', '/version'], env));
      }
    }
    const [withPlugin, fixed] = [median(times.plugin), median(times.static)];
    const load = `${KUBECTL_ROUNDS} rounds of kubectl get --raw in turns; with a token in the kubeconfig ${shown(fixed)}, so the plugin costs ${shown(withPlugin - fixed)}`;
    return {
      ...result('plugin-kubectl', withPlugin, { direct: fixed }, load),
      goal: '≤ 15 over direct',
      ok: withPlugin - fixed <= 15,
    };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function startApi(cert: string, key: string): Promise<Server> {
  const api = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (_request, response) =>
    response.end('{"major":"1"}'),
  );
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  return api;
}

const exec = (command: string): object => ({
  exec: {
    apiVersion: 'client.authentication.k8s.io/v1',
    command,
    args: usual(SERVER),
    interactiveMode: 'Never',
    provideClusterInfo: false,
  },
});

const kubeconfig = (port: number, user: object): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
  users: [{ name: 'u', user }],
  contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  'current-context': 'c',
});

/** Milliseconds from start to end. @throws Error when it fails */
async function timed([file, ...args]: Command, env: NodeJS.ProcessEnv): Promise<number> {
  const begun = performance.now();
  const child = spawn(file, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  const elapsed = performance.now() - begun;
  if (code !== 0) throw new Error(`${file} ended with ${code}`);
  return elapsed;
}
