/**
 * The pod of a rendered chart on this machine, without a kubelet: files of its Secrets are mounted into a folder, and the server is started with the
 * configuration of its ConfigMap. What Services and DNS would do is done by loopback ports.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { request } from 'undici';
import { expect } from 'vitest';
import { parse, stringify } from 'yaml';
import { ROOT } from '../unit/docs/markdown.ts';
import { bareEnvironment } from '../support/bare-environment.ts';
import { podTemplateOf, type PodSpec } from '../support/chart-pods.ts';
import { only, type KubernetesObject } from '../support/chart.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface PodGround {
  /** Stands in for the root of the pod's file system. */
  readonly root: string;
  /** Files of a Secret, as the cluster has them. */
  readonly secret: (name: string) => Promise<Readonly<Record<string, Buffer>>>;
  /** What kubelet projects for the service account. */
  readonly account: { readonly token: string; readonly ca: string };
  readonly ports: { readonly api: number; readonly web: number; readonly ops: number };
  /** Where `kubernetes.default.svc` leads. */
  readonly apiServer: string;
}

export interface GuidePod {
  /** Path of the configuration that it was started with. */
  readonly config: string;
  stop(): Promise<void>;
}

/** @throws Error with what the server said, where it does not become ready */
export async function startPod(objects: readonly KubernetesObject[], ground: PodGround): Promise<GuidePod> {
  const { spec } = podTemplateOf(only(objects, 'Deployment', 'portcullis'));
  await mountVolumes(spec, ground);
  const { 'portcullis.yaml': text = '' } = only(objects, 'ConfigMap', 'portcullis')['data'] as Record<string, string>;
  const config = join(ground.root, 'etc/portcullis/portcullis.yaml');
  await writeFile(config, here(text, ground));
  const args = (spec.containers[0]?.args ?? []).map((arg) => arg.replace('/etc/portcullis/portcullis.yaml', config));
  const child = spawn(process.execPath, [`${ROOT}src/main.ts`, ...args], {
    env: bareEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilReady(child, ground.ports.ops);
  return {
    config,
    async stop() {
      const gone = once(child, 'close');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

async function mountVolumes({ volumes, containers }: PodSpec, { root, secret, account }: PodGround): Promise<void> {
  for (const { name, mountPath } of containers[0]?.volumeMounts ?? []) {
    const volume = volumes.find((each) => each.name === name);
    const put = async (file: string, content: string | Buffer = ''): Promise<void> => {
      const path = join(root, mountPath, file);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content, { mode: 0o440 });
    };
    for (const [file, content] of Object.entries(
      volume?.secret === undefined ? {} : await secret(volume.secret.secretName),
    ))
      await put(file, content);
    for (const source of volume?.projected?.sources ?? []) {
      if (source.serviceAccountToken !== undefined) await put(source.serviceAccountToken.path, account.token);
      else if (source.configMap !== undefined) await put('ca.crt', account.ca);
      const from = source.secret === undefined ? {} : await secret(source.secret.name);
      for (const { key, path } of source.secret?.items ?? []) await put(path, from[key]);
    }
  }
}

/** The same configuration, where the pod's paths, ports and Services are this machine's. */
function here(text: string, { root, ports, apiServer }: PodGround): string {
  const settings = parse(text.replaceAll(/(?<=: )\/(?=etc\/|var\/)/g, `${root}/`)) as {
    readonly listen: Readonly<Record<'api' | 'web' | 'ops', Settings>>;
    readonly clusters: readonly Settings[];
  };
  const listener = (name: 'api' | 'web' | 'ops') => ({
    [name]: { ...settings.listen[name], address: `127.0.0.1:${ports[name]}` },
  });
  return stringify({
    ...settings,
    listen: { ...settings.listen, ...listener('api'), ...listener('web'), ...listener('ops') },
    clusters: settings.clusters.map((cluster) => ({ ...cluster, server: apiServer })),
    audit: { sinks: [{ type: 'file', path: join(root, 'audit.log') }] },
    shutdown: { delay: '0s', grace: '5s' },
  });
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const status = (): Promise<number> =>
    request(`http://127.0.0.1:${port}/readyz`).then(
      async (answer) => (await answer.body.dump(), answer.statusCode),
      () => (child.exitCode === null ? 0 : -1),
    );
  await expect.poll(async () => [await status(), said], { timeout: 40_000 }).toEqual([200, expect.any(String)]);
}
