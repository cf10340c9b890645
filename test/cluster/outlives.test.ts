/**
 * docs/revocation.md, "What outlives a revocation": all of it left behind by a user before a real API server, who is then revoked. It goes on,
 * each command of the page finds it, and what the page says ends it.
 */
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import { PageShell } from '../support/page-shell.ts';
import { readPage } from '../unit/docs/markdown.ts';
import { CsrSigner } from './csr-signer.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

/** What alice leaves behind. `kubectl exec` finds no kubelet here; that it was asked for is what counts. */
const DEEDS = `
kubectl create serviceaccount deployer
kubectl create token deployer --duration 24h > token
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=sleeper -keyout sleeper.key -out sleeper.csr
kubectl create -f - <<EOF
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: { name: sleeper }
spec:
  request: $(base64 -w0 sleeper.csr)
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 86400
  usages: [client auth]
---
apiVersion: v1
kind: Secret
metadata: { name: forever, annotations: { kubernetes.io/service-account.name: deployer } }
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Pod
metadata: { name: miner }
spec: { containers: [{ name: a, image: "registry.example/a:1" }] }
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: reader }
webhooks:
  - name: reader.example.com
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    clientConfig: { url: "https://127.0.0.1:9/" }
EOF
kubectl certificate approve sleeper
kubectl wait csr/sleeper --for jsonpath='{.status.certificate}' --timeout 60s
kubectl get csr sleeper -o jsonpath='{.status.certificate}' | base64 -d > sleeper.crt
kubectl create clusterrolebinding sleeper --clusterrole cluster-admin --user demo:bob --user sleeper --serviceaccount default:deployer
kubectl create cronjob nightly --image registry.example/a:1 --schedule '0 3 * * *'
kubectl create service nodeport way-in --tcp 80:8080
kubectl exec web-1 -- true || true
`;

/** By what kubectl calls it, for the commands that end something. */
const LEFT_BEHIND: Readonly<Record<string, string>> = {
  clusterrolebinding: 'sleeper',
  cronjob: 'nightly',
  mutatingwebhookconfiguration: 'reader',
  pod: 'miner',
  secret: 'forever',
  service: 'way-in',
  serviceaccount: 'deployer',
};

/** Where each resource of the page is asked for of which alice left nothing, so that its name is held too. */
const ASKED_FOR = [
  '/apis/rbac.authorization.k8s.io/v1/rolebindings',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  '/apis/rbac.authorization.k8s.io/v1/roles',
  '/apis/apps/v1/deployments',
  '/apis/apps/v1/daemonsets',
  '/apis/apps/v1/statefulsets',
  '/apis/apps/v1/replicasets',
  '/apis/batch/v1/jobs',
  '/api/v1/namespaces/default/pods/web-1/attach',
  '/api/v1/namespaces/default/pods/web-1/ephemeralcontainers',
  '/api/v1/namespaces/default/pods/web-1/proxy/',
  '/api/v1/nodes/node-1/proxy/pods',
  '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
  '/apis/admissionregistration.k8s.io/v1alpha1/mutatingadmissionpolicies',
  '/apis/apiregistration.k8s.io/v1/apiservices',
  '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
  '/apis/networking.k8s.io/v1/ingresses',
  '/apis/networking.k8s.io/v1/networkpolicies',
];

interface Row {
  readonly what: string;
  readonly find: readonly string[];
  readonly end: readonly string[];
}

/** The list of the page. A resource behind "the same with" stands for the first command with that resource. */
function rows(): readonly Row[] {
  const section = readPage('docs/revocation.md').split('## What outlives a revocation')[1]?.split('\n## ')[0] ?? '';
  const list = section.split('\n\n').find((part) => part.startsWith('- **')) ?? '';
  return list.split(/\n(?=- )/).map((item) => {
    const [what = '', find = '', end = ''] = item.split(/\n {2}- (?:Find|End): /);
    const spans = codeIn(find);
    const [first = ''] = spans;
    const same = spans.filter((span) => /^[a-z]+(?:\/[a-z]+)?$/.test(span));
    return {
      what: /\*\*(.*?)\*\*/.exec(what)?.[1] ?? what,
      find: [
        ...spans.filter((span) => span.includes(' ')),
        ...same.map((resource) => first.replace(/--resource \S+/, `--resource ${resource}`)),
      ],
      end: codeIn(end).filter((code) => code.startsWith('kubectl ')),
    };
  });
}

const codeIn = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

interface Cast {
  /** With the cluster's own credential, past the proxy. */
  readonly admin: PageShell;
  readonly root: PageShell;
  readonly alice: PageShell;
  readonly bob: PageShell;
}

describe('docs/revocation.md', () => {
  let folder: string;
  let server: HardenedApiServer;
  let instance: RunningDemo;
  let cast: Cast;
  let signer: CsrSigner;
  let signing: Promise<void>;
  const shells: PageShell[] = [];

  function shellIn(name: string, environment: NodeJS.ProcessEnv): PageShell {
    const made = new PageShell(join(folder, name), environment);
    shells.push(made);
    return made;
  }

  async function signedIn(user: string): Promise<PageShell> {
    const terminal = await terminalOf(folder, user);
    shells.push(terminal);
    await terminal.run(`portcullis login --server ${instance.urls.web}\nportcullis kubeconfig`);
    return terminal;
  }

  beforeAll(async () => {
    folder = await temporaryFolder();
    for (const name of ['controller', 'admin']) await mkdir(join(folder, name));
    const clientCaFile = await new CsrSigner(shellIn('controller', {}), join(folder, 'controller')).makeCa();
    server = await startHardenedApiServer({ clientCaFile });
    const { kubeconfig } = server;
    signer = new CsrSigner(shellIn('controller', { KUBECONFIG: kubeconfig }), join(folder, 'controller'));
    signing = signer.watch();
    instance = await startDemo({ directory: join(folder, 'demo'), portBase: await freePortBase(), kubeconfig });
    const admin = shellIn('admin', { KUBECONFIG: kubeconfig });
    await admin.run('kubectl create clusterrolebinding alice --clusterrole cluster-admin --user demo:alice');
    const [root, alice, bob] = await Promise.all([signedIn('root'), signedIn('alice'), signedIn('bob')]);
    cast = { admin, root, alice, bob };
    await alice.run(DEEDS);
    for (const path of ASKED_FOR) await alice.try(`kubectl get --raw ${path}`);
    await root.run('portcullis revoke --account demo/alice --lock --reason INC-4711');
    await instance.server.audit.flush();
    await copyFile(instance.files.auditLog, join(folder, 'home-of-root/audit.log'));
  });
  afterAll(async () => {
    signer.stop();
    await signing;
    for (const each of shells) each.close();
    await instance.stop();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Past the proxy, with nothing but what alice has left on her own machine. */
  async function leftBehind(with_: 'token' | 'certificate'): Promise<string> {
    const address = await cast.admin.run(
      `kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d > ca.crt
kubectl config view -o jsonpath='{.clusters[0].cluster.server}'`,
    );
    const at = join(folder, 'home-of-alice');
    const credential =
      with_ === 'token'
        ? `--token "$(cat ${at}/token)"`
        : `--client-certificate ${at}/sleeper.crt --client-key ${at}/sleeper.key`;
    const direct = `kubectl --kubeconfig /dev/null --server ${address} --certificate-authority ca.crt`;
    return (await cast.admin.try(`${direct} ${credential} get secrets`)).all;
  }

  it('what was left behind goes on: a token, a certificate, and another user', async () => {
    expect((await cast.alice.try('kubectl get pods')).all).toMatch(/locked|ended/);
    expect(await leftBehind('token')).toContain('forever');
    expect(await leftBehind('certificate')).toContain('forever');
    expect(await cast.bob.run('kubectl get secrets')).toContain('forever');
  });

  it.each(rows())('$what: is found by what the page says', async ({ find }) => {
    expect(find.length).toBeGreaterThan(0);
    for (const command of find.filter((each) => each.startsWith('kubectl ')))
      expect(await cast.admin.run(command), command).toContain('forever');
    for (const command of find.filter((each) => !each.startsWith('kubectl '))) {
      const found = await cast.root.run(withValues(command, { FILES: 'audit.log', ' A ': ' demo/alice ' }));
      const [resource = ''] = /(?<=--resource )\S+/.exec(command) ?? [];
      // A line has the name between the two.
      const shown = resource.replace('/', String.raw`\S*/`);
      expect(found, command).toMatch(new RegExp(String.raw`demo:alice +\w+ ${shown}\b`));
    }
  });

  it('everything that was changed is in one list, and each shell', async () => {
    const block = pageBlock('docs/revocation.md', 'portcullis audit query audit.log*');
    const list = await cast.root.run(withValues(block, { 'corp/alice': 'demo/alice', '2026-11-25': '1h' }));
    for (const done of [
      'create\t/api/v1/namespaces/default/serviceaccounts/deployer/token',
      'create\t/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      'update\t/apis/certificates.k8s.io/v1/certificatesigningrequests/sleeper/approval',
      'create\t/apis/batch/v1/namespaces/default/cronjobs',
      '/api/v1/namespaces/default/pods/web-1/exec',
    ])
      expect(list).toContain(done);
    expect(list).not.toMatch(/\tlist\t/);
  });

  it('the API server’s own log has what the token did afterwards, the names, and the subject of the certificate', async () => {
    await copyFile(server.auditLog, join(folder, 'home-of-root/kube-audit.log'));
    const block = pageBlock('docs/revocation.md', 'portcullis audit query kube-audit.log');
    const values = { 'payments:deployer': 'default:deployer', '2026-11-25': '1h' };
    expect(await cast.root.run(withValues(block, values))).toMatch(/default:deployer +list secrets/);
    const subject = `jq -r 'select(.verb == "create" and .objectRef.resource == "certificatesigningrequests") | .requestObject.spec.request' kube-audit.log`;
    expect(await cast.root.run(`${subject} | base64 -d | openssl req -noout -subject`)).toMatch(/CN ?= ?sleeper/);
    const names = await cast.root.run(`jq -r 'select(.verb == "create") | .objectRef.name' kube-audit.log`);
    expect(names.split('\n')).toEqual(expect.arrayContaining(Object.values(LEFT_BEHIND)));
  });

  it('and is ended by what the page says', async () => {
    const kindOf = (command: string): string => /^kubectl delete (\S+)/.exec(command)?.[1] ?? command;
    const commands = rows().flatMap(({ end }) => end);
    expect(commands.map(kindOf).toSorted()).toEqual(Object.keys(LEFT_BEHIND));
    for (const command of commands) {
      const namespace = command.includes(' NS') ? { ' NS': ' default' } : {};
      await cast.admin.run(withValues(command, { NAME: LEFT_BEHIND[kindOf(command)] ?? '', ...namespace }));
    }
    await expect.poll(() => leftBehind('token')).toMatch(/Unauthorized|logged in/);
    expect(await leftBehind('certificate')).toContain('User "sleeper" cannot list');
    expect((await cast.bob.try('kubectl get secrets')).all).toContain('User "demo:bob" cannot list');
  });
});
