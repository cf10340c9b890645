/** A real kube-apiserver without Portcullis in front of it, and kubectl with the rights of `system:masters` there. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { startApiServer } from '../../demo/api-server.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { freePortBase } from '../support/instance.ts';
import { newestClients } from '../support/kubectl-versions.ts';

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface BareApiServer {
  /** `https://…` */
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  /** Of an account that may do everything. */
  readonly token: string;
  kubectl(args: readonly string[], input?: string): Promise<Finished>;
  helm(args: readonly string[]): Promise<Finished>;
  close(): Promise<void>;
}

/** @param featureGates as the option takes them; absent: its defaults */
export async function startBareApiServer(featureGates?: string): Promise<BareApiServer> {
  const certificates = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  const assets = process.env['KUBEBUILDER_ASSETS'] ?? '';
  const features = featureGates === undefined ? {} : { featureGates };
  const apiServer = await startApiServer({ assets, port: await freePortBase(), certificates, ...features });
  const { kubeconfig } = apiServer;
  const { kubectl, helm } = await newestClients();
  const { clusters, users } = parse(await readFile(kubeconfig, 'utf8')) as {
    clusters: { cluster: { server: string } }[];
    users: { user: { token: string } }[];
  };
  const run = (program: string, args: readonly string[], input = ''): Promise<Finished> =>
    new Promise((resolve, reject) => {
      const options = { env: { ...process.env, KUBECONFIG: kubeconfig }, maxBuffer: 64 * 1024 * 1024 };
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') reject(error);
        else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
      child.stdin?.end(input);
    });
  return {
    url: clusters[0]?.cluster.server ?? '',
    ca: certificates.ca,
    token: users[0]?.user.token ?? '',
    kubectl: (args, input) => run(kubectl, args, input),
    helm: (args) => run(helm, args),
    close: () => apiServer.close(),
  };
}
