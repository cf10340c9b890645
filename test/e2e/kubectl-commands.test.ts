import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { newestClients } from '../support/kubectl-versions.ts';

const configMap = (name: string, colour: string): string => `apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: default }
data: { wall: ${colour} }
`;

const WALL = ['--output', 'jsonpath={.data.wall}'];

const newest = await newestClients();
const KUBECTLS = [
  { version: 'of the system', program: 'kubectl', reports: /^v1\.\d+\./ },
  { version: '1.35', program: newest.kubectl, reports: /^v1\.35\./ },
];

/** kubectl takes HTTP/2 where it is offered, unless it is told not to. */
const HTTP = [
  { http: 'HTTP/2', environment: {} },
  { http: 'HTTP/1.1', environment: { DISABLE_HTTP2: '1' } },
];
const WAYS = KUBECTLS.flatMap((kubectl) => HTTP.map((http) => ({ ...kubectl, ...http })));

let instance: RunningDemo;
beforeAll(async () => {
  instance = await startTestInstance();
});
afterAll(() => instance.stop());

/** What every kubectl does by plain requests. The streams, which differ by protocol, have a file of their own. */
describe.each(WAYS)('kubectl $version over $http', ({ program, reports, http, environment }) => {
  let alice: CliContext;
  let seen: number;
  const name = 'colours';

  beforeAll(async () => {
    alice = new CliContext(instance, 'alice', environment, program);
    seen = (await auditedBy(instance)).length;
  });
  afterAll(() => alice.close());

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, all } = await alice.kubectl(...args);
    expect(code, all).toBe(0);
    return stdout;
  }

  it('is the version that it reports, and talks with the cluster behind Portcullis', async () => {
    const said = JSON.parse(await done('version', '--output', 'json')) as Record<string, { gitVersion: string }>;
    expect(said['clientVersion']?.gitVersion).toMatch(reports);
    expect(said['serverVersion']?.gitVersion).toContain('portcullis.demo');
    const tracing = new CliContext(instance, 'alice', { ...environment, GODEBUG: 'http2debug=1' }, program);
    const { stderr } = await tracing.kubectl('get', 'pods');
    expect(stderr.includes('http2: Transport received HEADERS') ? 'HTTP/2' : 'HTTP/1.1').toBe(http);
  });

  it('gets one, lists all, and names them by label', async () => {
    expect(await done('get', 'pod', 'web-1', '--output', 'name')).toBe('pod/web-1\n');
    expect(await done('get', 'pods')).toMatch(/^web-1 +1\/1 +Running[^]*^worker +1\/1 +Running/m);
    expect(await done('get', 'pods', '--selector', 'app=web', '--output', 'name')).toBe('pod/web-1\npod/web-2\n');
  });

  it('applies on the client side, patches in each of the three ways, and deletes', async () => {
    const apply = (colour: string) => alice.kubectlWith(configMap(name, colour), 'apply', '--filename', '-');
    expect((await apply('white')).stdout).toContain('created');
    expect((await apply('blue')).stdout).toContain('configured');
    expect((await apply('blue')).stdout).toContain('unchanged');
    expect(await done('get', 'configmap', name, ...WALL)).toBe('blue');
    const json = '[{"op":"replace","path":"/data/wall","value":"by-json"}]';
    const patches = { strategic: '{"data":{"wall":"by-strategic"}}', merge: '{"data":{"wall":"by-merge"}}', json };
    for (const [type, patch] of Object.entries(patches)) {
      const patched = await done('patch', 'configmap', name, '--type', type, '--patch', patch, ...WALL);
      expect(patched).toBe(`by-${type}`);
    }
    expect(await done('delete', 'configmap', name)).toContain('deleted');
    expect((await alice.kubectl('get', 'configmap', name)).stderr).toContain('NotFound');
  });

  it('watches, and waits for what is to come and for what is to go', async () => {
    expect(await done('wait', 'pod/web-1', '--for', 'condition=Ready', '--timeout', '20s')).toContain('condition met');
    const watch = alice.openKubectl('get', 'configmaps', '--watch', '--output', 'name');
    await watch.until(/configmap\/web-settings/);
    await done('create', 'configmap', name, '--from-literal', 'wall=white');
    await watch.until(new RegExp(`configmap/${name}`));
    watch.child.kill();
    const gone = alice.openKubectl('wait', `configmap/${name}`, '--for', 'delete', '--timeout', '20s');
    await expect
      .poll(async () => (await auditedBy(instance)).slice(seen).some(isWatchOf(name)), { timeout: 10_000 })
      .toBe(true);
    await done('delete', 'configmap', name);
    expect((await gone.finished).code).toBe(0);
  });

  it('follows logs as they are written', async () => {
    const logs = alice.openKubectl('logs', '--follow', '--tail', '1', 'web-1');
    await expect(logs.until(/\n.*\n/)).resolves.toBeUndefined();
    logs.child.kill();
  });

  it('reports what there is and what the user may do', async () => {
    expect(await done('api-resources', '--output', 'name')).toMatch(/^configmaps$[^]*^pods$/m);
    const may = await done('auth', 'can-i', '--list');
    expect(may).toMatch(/^pods\/exec +\[\] +\[\] +\[get create\]/m);
    // What is limited to a name is the demo's own rule for `--as`; a right without one would be root.
    expect(may).not.toMatch(/\[\] +\[[^\]]*impersonate/);
  });

  it('proxies for programs that know nothing of credentials', async () => {
    const proxy = alice.openKubectl('proxy', '--port', '0');
    await proxy.until(/Starting to serve on 127\.0\.0\.1:\d+/);
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(proxy.output()) ?? [];
    const answer = await request(`http://127.0.0.1:${port}/api/v1/namespaces/default/pods/web-1`);
    expect(answer.statusCode).toBe(200);
    expect(await answer.body.json()).toMatchObject({ kind: 'Pod', metadata: { name: 'web-1' } });
    const refused = await request(`http://127.0.0.1:${port}/api/v1/namespaces/payments/secrets`);
    expect(refused.statusCode).toBe(403);
    expect(await refused.body.json()).toMatchObject({ message: expect.stringContaining('User "demo:alice"') });
    proxy.child.kill();
  });
});

// How many of Debian's do is in parallel-commands.test.ts.
describe('ten of kubectl 1.35', () => {
  it('sign in once when they start at the same time with nothing cached', async () => {
    const own = { PORTCULLIS_CACHE_DIR: `${instance.files.directory}/cache-of-ten` };
    const cold = new CliContext(instance, 'alice', own, newest.kubectl);
    const seen = (await auditedBy(instance)).length;
    const all = await Promise.all(
      Array.from({ length: 10 }, () => cold.kubectl('get', 'pod', 'web-1', '--output', 'name')),
    );
    for (const each of all) expect(each, each.all).toMatchObject({ code: 0, stdout: 'pod/web-1\n' });
    const events = (await auditedBy(instance)).slice(seen);
    expect(events.filter(({ verb }) => verb === 'sign-in')).toHaveLength(1);
    const listed = events.filter(({ verb, objectRef }) => verb === 'get' && objectRef?.resource === 'pods');
    expect(listed).toHaveLength(10);
    expect(new Set(listed.map(({ annotations }) => annotations['portcullis.dev/session'])).size).toBe(1);
  });
});

const isWatchOf =
  (name: string) =>
  ({ verb, requestURI }: { readonly verb: string; readonly requestURI: string }): boolean =>
    verb === 'watch' && requestURI.includes(`metadata.name%3D${name}`);
