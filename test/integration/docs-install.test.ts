/**
 * docs/install.md as a user follows it whose store is Valkey and whose identity provider is behind an outbound proxy, all on loopback: Debian's
 * valkey-server and squid, Django OAuth Toolkit, Helm and kubectl. The embedded cluster keeps Secrets and has no Deployments, so `helm install` is
 * `helm template` here, and the pod is started from what it renders; test/cluster/guides-install.test.ts installs on a real API server.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';
import { startCluster, type EmbeddedCluster } from '../../demo/cluster/cluster.ts';
import { demoPorts, USERS } from '../../demo/demo.ts';
import { demoUrls } from '../../demo/files.ts';
import { freePort } from '../../demo/ports.ts';
import { objectsIn } from '../support/chart.ts';
import { startDjangoIdp, type DjangoIdp } from '../support/django-idp.ts';
import { startPod, type GuidePod } from './guide-pod.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { checkoutIn, linesOf, pageBlock, programsIn, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { terminalOf } from '../support/page-terminal.ts';
import { BROWSER_CREDENTIALS, SQUID_CREDENTIALS, startSquid, type Squid } from '../support/squid.ts';
import { fencedBlocks, readPage } from '../unit/docs/markdown.ts';

/** Squid alone can resolve it. */
const IDP = 'idp.test';
const CLIENT_SECRET = 'of-the-guide';

const shown = (begins: string): string =>
  fencedBlocks(readPage('docs/install.md')).find(({ text }) => text.startsWith(begins))?.text ?? '';

/** The page's values, with what it tells to put in their place. */
function valuesOf(here: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  const [base, store, network] = ['# values.yaml', 'redis:\n  url', 'config:\n  outbound'].map(
    (begins) => parse(shown(begins)) as Readonly<Record<string, object>>,
  );
  const values = { ...base, ...store, ...network, config: { ...base?.['config'], ...network?.['config'] } };
  return parse(withValues(stringify(values), here)) as typeof values;
}

describe('docs/install.md, with Valkey and an outbound proxy', () => {
  const ports = { api: 0, web: 0, ops: 0, store: 0 };
  let urls: ReturnType<typeof demoUrls>;
  let folder: string;
  let checkout: string;
  let certificate: DemoCertificates;
  let cluster: EmbeddedCluster;
  let squid: Squid;
  let idp: DjangoIdp;
  let admin: PageShell;
  let alice: PageShell;
  let root: PageShell;
  let pod: GuidePod | undefined;
  const account = randomBytes(16).toString('hex');

  beforeAll(async () => {
    const base = demoPorts(await freePortBase());
    // No ingress does TLS here.
    urls = { ...demoUrls(base), web: `https://localhost:${base.web}` };
    Object.assign(ports, base, { store: await freePort() });
    folder = await temporaryFolder();
    [checkout, certificate, squid, idp] = await Promise.all([
      checkoutIn(folder),
      makeCertificates(['localhost', '127.0.0.1'], Date.now()),
      startSquid([IDP]),
      startDjangoIdp(IDP),
    ]);
    const master = randomBytes(16).toString('hex');
    cluster = await startCluster({
      host: '127.0.0.1',
      port: base.cluster,
      tls: certificate,
      tokens: {
        [master]: { username: 'kubernetes-admin', uid: '1', groups: ['system:masters', 'system:authenticated'] },
        [account]: {
          username: 'system:serviceaccount:portcullis:portcullis',
          uid: '2',
          groups: ['system:authenticated'],
        },
      },
    });
    await writeMachines(master);
    for (const { name, password } of USERS)
      await idp.addUser({ name, password, groups: name === 'root' ? ['platform'] : ['developers'] });
    const callback = `${urls.web}/callback/corp`;
    await idp.addClient({ id: 'portcullis', secret: CLIENT_SECRET, callback, skipConsent: true });
  });
  afterAll(async () => {
    for (const shell of [admin, alice, root]) shell?.close();
    await pod?.stop();
    await Promise.all([squid.stop(), idp.close(), cluster.close()]);
    await rm(folder, { recursive: true, force: true });
  });

  /** The admin's, in a checkout; and those of two users, whose browsers reach the provider through the proxy too. */
  async function writeMachines(token: string): Promise<void> {
    const bin = await programsIn(folder, { helm: `exec '${(await newestClients()).helm}' "$@"` });
    const kubeconfig = join(folder, 'admin.kubeconfig');
    const server = `https://localhost:${cluster.port}`;
    const data = Buffer.from(certificate.ca).toString('base64');
    const here = { name: 'here', cluster: { server, 'certificate-authority-data': data } };
    const contexts = [{ name: 'here', context: { cluster: 'here', user: 'here' } }];
    const users = [{ name: 'here', user: { token } }];
    const config = { apiVersion: 'v1', kind: 'Config', 'current-context': 'here', clusters: [here], contexts, users };
    await writeFile(kubeconfig, stringify(config));
    admin = new PageShell(checkout, { HOME: folder, KUBECONFIG: kubeconfig, PATH: `${bin}:${process.env['PATH']}` });
    await writeFile(join(checkout, 'idp.crt'), idp.ca);
    await writeFile(join(folder, 'trusted.crt'), `${idp.ca}\n${certificate.ca}`);
    const browser = {
      HTTPS_PROXY: `http://${BROWSER_CREDENTIALS}@${squid.host}`,
      NO_PROXY: 'localhost',
      NODE_USE_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: join(folder, 'trusted.crt'),
    };
    [alice, root] = await Promise.all([terminalOf(folder, 'alice', browser), terminalOf(folder, 'root', browser)]);
    const files = {
      'client-secret': CLIENT_SECRET,
      'proxy-credentials': SQUID_CREDENTIALS,
      'store-ca.crt': certificate.ca,
      'api.crt': certificate.cert,
      'api.key': certificate.key,
      'web.crt': certificate.cert,
      'web.key': certificate.key,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(checkout, name), text);
  }

  it('section 2 makes the Secrets, those of the store and the proxy too', async () => {
    // The embedded cluster is born with one of this name.
    await admin.run('kubectl delete namespace portcullis');
    await admin.run(pageBlock('docs/install.md', 'kubectl create namespace portcullis'));
    await admin.run(pageBlock('docs/install.md', 'kubectl --namespace portcullis create secret tls'));
    await admin.run(pageBlock('docs/install.md', '(umask 077'));
    await admin.run(
      pageBlock('docs/install.md', 'kubectl --namespace portcullis create secret generic outbound-proxy'),
    );
    // "Where users' machines do not trust the issuer", and the provider's own CA.
    const ca = Buffer.from(certificate.ca).toString('base64');
    await admin.run(
      `kubectl --namespace portcullis patch secret portcullis-api-tls -p '{"data":{"ca.crt":"${ca}"}}'
kubectl --namespace portcullis create secret generic corp-ca --from-file ca.crt=idp.crt`,
    );
    const made = await admin.run('kubectl --namespace portcullis get secrets --output name');
    for (const name of ['signing-keys', 'sealing-keys', 'audit-keys', 'oidc', 'api-tls', 'web-tls', 'store'])
      expect(made).toContain(`secret/portcullis-${name}\n`);
    expect(await readFile(join(checkout, 'users.acl'), 'utf8')).not.toContain(
      (await readFile(join(checkout, 'store-password'), 'utf8')).trim(),
    );
  });

  it('section 2: Valkey, with the lines of the page, is suitable as the store', async () => {
    const at = join(folder, 'valkey');
    await mkdir(at);
    const text = withValues(shown('bind 0.0.0.0'), {
      '0.0.0.0': '127.0.0.1',
      'tls-port 6379': `tls-port ${ports.store}\ndir ${at}`,
      '/etc/valkey/tls.crt': join(checkout, 'api.crt'),
      '/etc/valkey/tls.key': join(checkout, 'api.key'),
      '/etc/valkey/ca.crt': join(checkout, 'store-ca.crt'),
      '/etc/valkey/users.acl': join(checkout, 'users.acl'),
    });
    await writeFile(join(at, 'valkey.conf'), text);
    await admin.open(`exec valkey-server ${join(at, 'valkey.conf')}`).until(/Ready to accept connections/);
    const check = withValues(pageBlock('docs/install.md', 'npx portcullis store check'), {
      'valkey.example.com:6379': `localhost:${ports.store}`,
    });
    const found = await admin.run(check);
    expect(found).toMatch(/^user +ok .* portcullis$/m);
    expect(found).toMatch(/^eviction +ok .* noeviction$/m);
    expect(found).toMatch(/^persistence +ok /m);
    expect(found).not.toMatch(/^\S+ +no /m);
  });

  it('sections 3 and 4: the configuration is valid, and the server starts with it', async () => {
    const values = valuesOf({
      'https://portcullis.example.com': urls.web,
      'https://api.portcullis.example.com:6443': urls.api,
      'prod.k8s.example.com': 'localhost',
      'https://login.example.com': idp.issuer,
      'valkey.example.com:6379': `localhost:${ports.store}`,
      'proxy.example.com:3128': squid.host,
    });
    const [provider] = values['providers'] as readonly object[];
    const providers = [{ ...provider, ca: { secret: 'corp-ca', key: 'ca.crt' } }];
    const api = { publicUrl: urls.api, publishCa: true };
    await writeFile(join(checkout, 'values.yaml'), stringify({ ...values, api, providers, web: { tls: true } }));
    expect(await admin.run(pageBlock('docs/install.md', 'helm template'))).toMatch(/^valid: 1 provider.*not read$/m);
    const [install = ''] = linesOf(
      pageBlock('docs/install.md', 'helm install portcullis deploy/chart --namespace portcullis --values'),
    );
    const rendered = objectsIn(await admin.run(withValues(install, { 'helm install': 'helm template' })));
    pod = await startPod(rendered, {
      root: join(folder, 'pod'),
      secret: filesOf,
      account: { token: account, ca: certificate.ca },
      ports,
      apiServer: `https://localhost:${cluster.port}`,
    });
  });

  async function filesOf(secret: string): Promise<Readonly<Record<string, Buffer>>> {
    const said = await admin.run(`kubectl --namespace portcullis get secret ${secret} -o json`);
    const { data } = JSON.parse(said) as { readonly data: Readonly<Record<string, string>> };
    return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, Buffer.from(value, 'base64')]));
  }

  it('section 5: the first user lists pods, an admin’s drill passes, and a revocation ends the access', async () => {
    // A real cluster has it.
    await admin.run('kubectl create clusterrole view --verb get,list,watch --resource namespaces,pods');
    const block = withValues(pageBlock('docs/install.md', 'portcullis login'), {
      'https://portcullis.example.com': urls.web,
      'prod@portcullis.example.com': `prod@${new URL(urls.web).host}`,
    });
    const [login = '', kubeconfig = '', binding = '', ofAdmins = '', pods = '', drill = ''] = linesOf(block);
    await alice.run(`${login}\n${kubeconfig}`);
    expect((await alice.try(pods)).all).toContain('pods is forbidden: User "corp:alice@example.com"');
    await admin.run(`${binding}\n${ofAdmins}`);
    expect(await alice.run(pods)).toMatch(/^web-1 +1\/1 +Running/m);
    expect(await root.run(`${login}\n${drill}`)).toMatch(/drill PASSED[^]* applied /);

    const readme = linesOf(pageBlock('README.md', 'portcullis sessions'));
    const revoke = readme.find((line) => /^portcullis revoke --account \S+ --reason/.test(line)) ?? '';
    const { account: ofAlice } = JSON.parse(await alice.run('portcullis whoami --output json')) as { account: string };
    const done = await root.run(withValues(revoke, { 'corp/00u1x': ofAlice }));
    expect(done).toMatch(/^complete: 1 session ended/);
    const denied = await alice.try(`PORTCULLIS_NO_BROWSER=1 ${pods}`);
    expect(denied.code).not.toBe(0);
    expect(denied.all).toMatch(/your session was (?:ended|revoked)/i);
  });

  it('squid was the only way to the provider, for the server and for the browsers', async () => {
    const file = pod?.config ?? '';
    const text = await readFile(file, 'utf8');
    const probe = (name: string): Promise<{ readonly code: number; readonly all: string }> =>
      admin.try(`npx portcullis config probe --config '${name}'`);
    expect((await probe(file)).all).toMatch(/^issuer +works/m);
    await writeFile(`${file}.direct`, withValues(text, { 'outbound:': `outbound:\n  noProxy: [${IDP}]` }));
    const direct = await probe(`${file}.direct`);
    expect(direct).toMatchObject({
      code: 1,
      all: expect.stringMatching(/name (?:is not known to DNS|could not be looked up)/),
    });
    const log = await squid.log();
    for (const user of ['anna', 'laptop']) expect(log).toMatch(new RegExp(` CONNECT idp\\.test:\\d+ ${user} `));
    expect(log).not.toContain('localhost');
  });
});
