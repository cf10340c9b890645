/**
 * A server by the settings of a guide, started manually as its own process. What the guide leaves to Kubernetes, DNS and an identity provider
 * is this machine's instead: names become loopback ports, mounted files lie in a folder, users are the demo's.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { expect } from 'vitest';
import { parse, stringify } from 'yaml';
import { makeCertificates } from '../../demo/certificates.ts';
import { demoPorts, USERS } from '../../demo/demo.ts';
import { demoUrls } from '../../demo/files.ts';
import { startIdentityProvider } from '../../demo/idp/provider.ts';
import { freePortBase } from '../support/instance.ts';
import { ROOT } from '../unit/docs/markdown.ts';

type Settings = Record<string, unknown>;

export interface GuideMachine {
  readonly urls: { readonly api: string; readonly web: string };
  /** Stands in for the server's address and the context of its cluster in commands of a guide. */
  readonly values: { readonly server: string; readonly context: string };
  /** Of the server's own listeners; PEM. */
  readonly certificate: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly clientSecret: string;
  /**
   * @param settings as the guide has them
   * @param files by the setting that names them: paths on this machine
   */
  start(settings: string, files: GuideFiles): Promise<void>;
  close(): Promise<void>;
}

export interface GuideFiles {
  readonly keys: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientSecretFile: string;
  /** Of the clusters of the settings, in their order. */
  readonly clusters: readonly { readonly server: string; readonly caFile: string; readonly tokenFile: string }[];
}

/** @param folder what is written goes there */
export async function startGuideMachine(folder: string): Promise<GuideMachine> {
  const ports = demoPorts(await freePortBase());
  const urls = demoUrls(ports);
  const clientSecret = 'of-the-guide';
  const idp = await startIdentityProvider({
    port: ports.idp,
    // In the groups that the guides give rights to.
    users: USERS.map((user) => (user.name === 'root' ? { ...user, groups: ['platform'] } : user)),
    client: { clientId: 'portcullis', clientSecret, redirectUris: [`${urls.web}/callback/corp`] },
  });
  const certificate = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'gate-ca.crt'), certificate.ca);
  let stop = async (): Promise<void> => {};

  function here(settings: Settings, files: GuideFiles): Settings {
    const [provider] = settings['providers'] as Settings[];
    const tls = { certFile: files.certFile, keyFile: files.keyFile };
    // Nothing here is outside, and the example names a proxy and its files.
    const { consoles: _consoles, workload: _workload, outbound: _outbound, ...rest } = settings;
    return {
      ...rest,
      publicUrl: urls.web,
      listen: {
        api: {
          ...tls,
          address: `127.0.0.1:${ports.api}`,
          publicUrl: urls.api,
          publicCaFile: join(folder, 'gate-ca.crt'),
        },
        web: { address: `127.0.0.1:${ports.web}`, tls: 'off' },
        ops: { address: `127.0.0.1:${ports.ops}` },
      },
      store: { memory: {} },
      keys: Object.fromEntries(['signing', 'sealing', 'audit'].map((kind) => [`${kind}Dir`, join(files.keys, kind)])),
      // Rules and extra claims of the example ask for what the demo's provider does not say.
      providers: [
        {
          name: provider?.['name'],
          issuer: urls.issuer,
          clientId: provider?.['clientId'],
          clientSecretFile: files.clientSecretFile,
          groups: provider?.['groups'],
        },
      ],
      clusters: (settings['clusters'] as Settings[]).map((cluster, index) => ({
        ...cluster,
        ...files.clusters[index],
        // Everything here has the one name: where there are several, each is reached under `/clusters/NAME/`.
        hosts: files.clusters.length === 1 ? ['localhost'] : undefined,
        publicUrl: files.clusters.length === 1 ? urls.api : undefined,
      })),
      audit: { sinks: [{ type: 'file', path: join(folder, 'audit.log') }] },
      shutdown: { delay: '0s', grace: '5s' },
    };
  }

  return {
    urls,
    values: { server: urls.web, context: `prod@${new URL(urls.web).host}` },
    certificate,
    clientSecret,
    start: async (settings, files) => {
      await stop();
      const config = join(folder, 'portcullis.yaml');
      await writeFile(config, stringify(here(parse(settings) as Settings, files)));
      const child = spawn(process.execPath, [`${ROOT}src/main.ts`, 'serve', '--config', config], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      const gone = once(child, 'close');
      stop = async () => {
        child.kill('SIGTERM');
        await gone;
      };
      const ready = (): Promise<number> =>
        request(`${urls.ops}/readyz`).then(
          async (answer) => (await answer.body.dump(), answer.statusCode),
          () => (child.exitCode === null ? 0 : -1),
        );
      await expect.poll(async () => [await ready(), said], { timeout: 40_000 }).toEqual([200, expect.any(String)]);
    },
    close: async () => {
      await stop();
      await idp.close();
    },
  };
}

/** What a kubeconfig says of its cluster: the API server's address, and its CA in a file. */
export async function clusterOf(kubeconfig: string): Promise<{ readonly server: string; readonly ca: string }> {
  const { clusters } = parse(await readFile(kubeconfig, 'utf8')) as {
    readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[];
  };
  const { server = '', 'certificate-authority-data': data = '' } = clusters[0]?.cluster ?? {};
  return { server, ca: Buffer.from(data, 'base64').toString() };
}
