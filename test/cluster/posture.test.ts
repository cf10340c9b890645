/** What posture finds in a real API server: the same planted errors, the workloads that the embedded cluster does not keep, and a certificate. */
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliContext } from '../support/kubectl.ts';
import {
  foundIn,
  PLANTED,
  PLANTED_VALUES,
  PLANTED_WORKLOADS,
  plantedManifests,
  WORKLOAD_MANIFESTS,
  type PostureReport,
} from '../support/posture-errors.ts';
import { certificateRequest } from '../support/posture-certificate.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

/** Of the demo's own objects, and of namespaces that every cluster has. */
const BEFORE = [
  'no-default-deny default/Namespace/default',
  'no-default-deny portcullis/Namespace/portcullis',
  'token-mounted default/ServiceAccount/default',
];

let real: RealInstance;
let root: CliContext;

async function done(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, all } = await root.open(program, args).finished;
  expect(code, `${args.join(' ')}\n${all}`).toBe(0);
  return stdout;
}

async function posture(...args: string[]) {
  const ended = await root.portcullis('posture', '--cluster', 'demo', '--output', 'json', ...args);
  return { ...ended, report: (): PostureReport => JSON.parse(ended.stdout) as PostureReport };
}

beforeAll(async () => {
  real = await startRealInstance();
  root = new CliContext(real.instance, 'root');
  await root.portcullis('login', '--server', real.instance.urls.web);
  // In place of the controller that makes it.
  await done('kubectl', 'create', 'serviceaccount', 'default', '-n', 'default');
});
afterAll(async () => {
  root.close();
  await real.stop();
});

describe('posture of a real API server, through Portcullis', () => {
  it('finds nothing in what a cluster is born with, but for the demo’s own', async () => {
    const { code, all, report } = await posture();
    expect(foundIn(report()), all).toEqual(BEFORE);
    expect(code, all).toBe(0);
  });

  it('finds every planted error and invents none', async () => {
    const planted = await root.kubectlWith(plantedManifests(WORKLOAD_MANIFESTS), 'apply', '--filename', '-');
    expect(planted.code, planted.all).toBe(0);
    const { code, all, report } = await posture();
    expect(foundIn(report())).toEqual([...BEFORE, ...PLANTED, ...PLANTED_WORKLOADS].toSorted());
    expect(code).toBe(1);
    for (const value of PLANTED_VALUES) expect(all).not.toContain(value);
  });

  it('asks for the metadata of Secrets alone', async () => {
    const asked = (await real.apiServerAudit()).filter(
      ({ objectRef, verb, userAgent }) =>
        objectRef?.resource === 'secrets' && verb === 'list' && /portcullis/.test(userAgent ?? ''),
    );
    expect(asked.length).toBeGreaterThan(0);
    for (const { requestURI } of asked)
      expect(requestURI).toContain('fieldSelector=type%3Dkubernetes.io%2Fservice-account-token');
  });

  it('finds a client certificate that the cluster signed', async () => {
    const { request, certificate } = await certificateRequest('jane@example.com', 'ops');
    const manifest = {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      metadata: { name: 'jane' },
      spec: { signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'], request },
    };
    const created = await root.kubectlWith(JSON.stringify(manifest), 'create', '--filename', '-');
    expect(created.code, created.all).toBe(0);
    await done('kubectl', 'certificate', 'approve', 'jane');
    // In place of the controller that signs.
    const patch = JSON.stringify({ status: { certificate } });
    await done('kubectl', 'patch', 'csr/jane', '--subresource', 'status', '--type', 'merge', '-p', patch);
    const found = (await posture()).report().findings.filter(({ rule }) => rule === 'client-certificate');
    expect(found).toMatchObject([{ object: 'CertificateSigningRequest/jane', severity: 'medium' }]);
    expect(found[0]?.evidence).toMatch(/CN=jane@example\.com, O=ops|O=ops, CN=jane@example\.com/);
    await done('kubectl', 'delete', 'csr/jane');
  });

  it('prints what replaces a legacy token; what it prints works, and the same check is clean afterwards', async () => {
    const { findings } = (await posture()).report();
    const commands = findings.flatMap((finding) => finding.mend).filter((line) => !line.startsWith('#'));
    // The context that the commands name.
    const written = await root.portcullis('kubeconfig', '--command', real.instance.files.command);
    expect(written.code, written.all).toBe(0);
    const tokens: string[] = [];
    for (const command of commands) {
      const said = await done('sh', '-c', command);
      if (command.includes(' create token ')) tokens.push(said);
    }
    // Bound to the account, and over in an hour.
    const claims = tokens.map((token) => decodeJwt<{ exp: number; iat: number; sub: string }>(token.trim()));
    expect(claims.map(({ exp, iat, sub }) => [exp - iat, sub])).toEqual([[3600, 'system:serviceaccount:shop:ci']]);
    const pods = ['pod/kube-apiserver-a -n kube-system', 'pod/web pod/idle -n shop', 'pod/web-1 pod/web-2 -n default'];
    for (const which of pods) await done('kubectl', 'delete', ...which.split(' '), '--force');
    await done('kubectl', 'delete', 'networkpolicy/let-all-in', '-n', 'half-open');
    const after = await posture('--fail-on', 'low');
    expect(foundIn(after.report())).toEqual([]);
    expect(after.code).toBe(0);
  });

  it('leaves what a workload needs: the Secret as files, and what else its environment had', async () => {
    const spec = JSON.parse(
      await done('kubectl', 'get', 'deployment/ledger', '-n', 'shop', '-o', 'jsonpath={.spec.template.spec}'),
    ) as { containers: { env?: unknown; envFrom?: unknown; volumeMounts?: unknown }[]; volumes?: unknown };
    expect(spec.containers[0]?.env).toBeUndefined();
    expect(spec.containers[0]?.envFrom).toEqual([{ configMapRef: { name: 'settings' } }]);
    expect(spec.containers[0]?.volumeMounts).toEqual([
      { name: 'secret-db', mountPath: '/var/run/secrets/db', readOnly: true },
    ]);
    expect(spec.volumes).toMatchObject([{ name: 'secret-db', secret: { secretName: 'db' } }]);
  });
});
