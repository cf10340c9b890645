/** What users notice of an API server that goes away and comes back, and of one that does not let the proxy's account impersonate. */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { auditedBy } from '../support/audit-log.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

const ACCOUNT = 'system:serviceaccount:portcullis-demo:portcullis-demo';
const BINDING = ['clusterrolebinding', 'portcullis-demo'];

describe('an API server that is not there for a while', () => {
  let folder: string;
  let server: HardenedApiServer;
  let instance: RunningDemo;
  let root: CliContext;

  beforeAll(async () => {
    folder = await temporaryFolder();
    server = await startHardenedApiServer();
    const { kubeconfig } = server;
    instance = await startDemo({ directory: join(folder, 'demo'), portBase: await freePortBase(), kubeconfig });
    root = new CliContext(instance, 'root');
    // Signs in, and fills the cache of what the API server has.
    await root.kubectl('get', 'pods,configmaps');
  });
  afterAll(async () => {
    root.close();
    await instance.stop();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  const admin = (...args: string[]) => promisify(execFile)('kubectl', ['--kubeconfig', server.kubeconfig, ...args]);
  const createConfigMap = (name: string) => ['create', 'configmap', name, '--from-literal', 'a=b'];

  /** How the proxy has answered requests for a resource. */
  async function answers(resource: string): Promise<readonly string[]> {
    const events = (await auditedBy(instance)).filter(({ objectRef }) => objectRef?.resource === resource);
    return events.map(
      ({ verb, responseStatus, annotations }) =>
        `${verb} ${responseStatus?.code} ${annotations['portcullis.dev/reason'] ?? ''}`,
    );
  }

  it('fails no command that finds it gone: kubectl reads, writes and acts as others once it is back', async () => {
    const commands = [['get', 'pods'], createConfigMap('during'), ['get', 'secrets', '--as', 'demo:alice-of-root']];
    const running: ReturnType<CliContext['openKubectl']>[] = [];
    await server.outage(async () => {
      running.push(...commands.map((command) => root.openKubectl(...command)));
      await expect.poll(() => answers('pods')).toContain('list 503 upstream_unavailable');
      await expect.poll(() => answers('configmaps')).toContain('create 503 upstream_unavailable');
      await expect.poll(() => answers('secrets')).toContain('list 503 review_unavailable');
    });
    const [read, written, acted] = await Promise.all(running.map(({ finished }) => finished));
    expect(read?.code, read?.all).toBe(0);
    expect(written?.code, written?.all).toBe(0);
    // Whom root acts as may do nothing: the API server's own response, which only it can have given.
    expect(acted?.stderr).toContain('User "demo:alice-of-root" cannot list resource "secrets"');
    const lines = (await readFile(server.auditLog, 'utf8')).split('\n').filter((line) => line.includes('"during"'));
    const created = lines.map((line) => JSON.parse(line) as ApiServerEvent).filter(({ verb }) => verb === 'create');
    expect(created.map(({ responseStatus }) => responseStatus?.code)).toEqual([201]);
  });

  it('fails no command that reads while it is killed, and runs nothing twice', async () => {
    await server.ready();
    const before = (await answers('configmaps')).length;
    const back = new AbortController();
    const failedReads: string[] = [];
    const failedWrites: string[] = [];
    const readers = Array.from({ length: 3 }, async () => {
      while (!back.signal.aborted) {
        const { code, all } = await root.kubectl('get', 'pods');
        if (code !== 0) failedReads.push(all);
      }
    });
    const writer = (async () => {
      for (let count = 0; !back.signal.aborted; count += 1) {
        const { code, all } = await root.kubectl(...createConfigMap(`under-load-${count}`));
        if (code !== 0) failedWrites.push(all);
      }
    })();
    try {
      await expect.poll(async () => (await answers('configmaps')).slice(before)).toContain('create 201 ');
      await server.outage(() => Promise.resolve());
      await server.ready();
    } finally {
      back.abort();
    }
    await Promise.all([...readers, writer]);
    expect(failedReads).toEqual([]);
    // Sent to a server that died before it responded: the one case in which the result is unknown, and the user is told so.
    expect(failedWrites.filter((all) => !all.includes('may have been executed'))).toEqual([]);
  });

  it('that denies impersonation for a moment makes kubectl wait, and no user learns of the account', async () => {
    const subjects = (await admin('get', ...BINDING, '--output', 'jsonpath={.subjects}')).stdout;
    const patch = (value: string) =>
      admin('patch', ...BINDING, '--type', 'json', '--patch', `[{"op":"replace","path":"/subjects","value":${value}}]`);
    await patch('[]');
    const waiting = root.openKubectl('get', 'services');
    await expect.poll(() => answers('services')).toContain('list 503 own_account_refused');
    await patch(subjects);
    const { code, all } = await waiting.finished;
    expect(code, all).toBe(0);
    expect(all).not.toContain(ACCOUNT);
  });

  it.each(['get pods', 'create token default', 'exec web-1 -- true'])(
    'that never lets the account act as a service account says so at once: kubectl %s',
    async (command) => {
      const as = ['--as', 'system:serviceaccount:default:ci'];
      const { code, stderr } = await root.kubectl(...as, ...command.split(' '));
      expect(code).toBe(1);
      expect(stderr).toMatch(/the proxy's own account .* may not impersonate serviceaccounts/);
      expect(stderr).not.toContain(ACCOUNT);
    },
  );

  it('relays what is about the user as it is', async () => {
    const { stderr } = await new CliContext(instance, 'alice').kubectl('get', 'secrets');
    expect(stderr).toContain('secrets is forbidden: User "demo:alice" cannot list resource "secrets"');
  });
});
