/** A server with a rule for jobs and a second cluster that no rule names, an issuer of jobs' tokens, and machines that jobs run on. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../support/workload-issuer.ts';

export interface Job {
  readonly machine: CliContext;
  readonly tokenFile: string;
  readonly cacheDir: string;
  /** Would be there if a browser had been started. */
  readonly browserMark: string;
  /** What the issuer leaves in the file. */
  project(token: string): Promise<void>;
}

export interface WorkloadStage {
  readonly instance: RunningDemo;
  readonly issuer: WorkloadIssuer;
  /**
   * A machine without a sign-in, whose kubeconfig has the contexts `demo`, `other`, and `astray`: the token of the one sent to the other.
   * @param options.byEnvironment the token file is named by `PORTCULLIS_TOKEN_FILE`, and not in the kubeconfig
   */
  job(name: string, options?: { readonly byEnvironment?: boolean; readonly cacheDir?: string }): Promise<Job>;
  stop(): Promise<void>;
}

export async function startWorkloadStage(): Promise<WorkloadStage> {
  let started: WorkloadIssuer | undefined;
  const instance = await startTestInstance({
    async file(settings, { urls, files }) {
      started = await startWorkloadIssuer(urls.web);
      const caFile = join(files.directory, 'issuer.crt');
      await writeFile(caFile, started.ca);
      const { issuer } = started;
      const shop = {
        match: 'claims.repository_owner == "example"',
        username: 'claims.repository',
        groups: 'claims.repository == "example/shop" ? ["developers"] : []',
        groupsPrefix: 'demo:',
      };
      const [demo] = settings['clusters'] as readonly Readonly<Record<string, unknown>>[];
      const other = { ...demo, name: 'other', hosts: ['127.0.0.1'], publicUrl: otherUrl(urls.api) };
      return {
        ...settings,
        clusters: [demo, other],
        workload: [
          { name: 'ci', issuer, caFile, clusters: ['demo'], life: '5m', ...shop },
          { name: 'gone', issuer: 'https://localhost:1', clusters: ['demo'], match: 'true' },
        ],
      };
    },
  });
  const issuer = started;
  if (issuer === undefined) throw new Error('there is no issuer');
  return {
    instance,
    issuer,
    job: (name, options) => newJob(instance, name, options),
    async stop() {
      await instance.stop();
      await issuer.close();
    },
  };
}

/** The address decides the cluster. */
const otherUrl = (api: string): string => api.replace('localhost', '127.0.0.1');

async function newJob(
  instance: RunningDemo,
  name: string,
  options: { readonly byEnvironment?: boolean; readonly cacheDir?: string } = {},
): Promise<Job> {
  const folder = join(instance.files.directory, `job-${name}`);
  await mkdir(folder, { recursive: true });
  const at = (file: string): string => join(folder, file);
  const tokenFile = at('token');
  const cacheDir = options.cacheDir ?? at('cache');
  await writeFile(
    at('kubeconfig'),
    await kubeconfig(instance, options.byEnvironment === true ? [] : ['--token-file', tokenFile]),
  );
  const machine = new CliContext(instance, name, {
    KUBECONFIG: at('kubeconfig'),
    PORTCULLIS_CACHE_DIR: cacheDir,
    PORTCULLIS_DEMO_USER: '',
    BROWSER: `touch ${at('browser-was-here')}`,
    ...(options.byEnvironment === true ? { PORTCULLIS_TOKEN_FILE: tokenFile } : {}),
  });
  return {
    machine,
    tokenFile,
    cacheDir,
    browserMark: at('browser-was-here'),
    project: (token) => writeFile(tokenFile, token),
  };
}

async function kubeconfig({ urls, files }: RunningDemo, more: readonly string[]): Promise<string> {
  const ca = Buffer.from(await readFile(join(files.directory, 'ca.crt'))).toString('base64');
  const user = (cluster: string): object => ({
    name: cluster,
    user: {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: files.command,
        args: ['get-token', '--server', urls.web, '--cluster', cluster, ...more],
        interactiveMode: 'Never',
        provideClusterInfo: false,
      },
    },
  });
  const cluster = (name: string, server: string): object => ({
    name,
    cluster: { server, 'certificate-authority-data': ca },
  });
  const context = (name: string, where: string, who: string): object => ({
    name,
    context: { cluster: where, user: who, namespace: 'default' },
  });
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'demo',
    clusters: [cluster('demo', urls.api), cluster('other', otherUrl(urls.api))],
    users: [user('demo'), user('other')],
    contexts: [context('demo', 'demo', 'demo'), context('other', 'other', 'other'), context('astray', 'other', 'demo')],
  });
}
