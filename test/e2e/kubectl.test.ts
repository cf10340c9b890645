import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { freePort } from '../../demo/ports.ts';

const CONFIG_MAP = `apiVersion: v1
kind: ConfigMap
metadata: { name: colours, namespace: default }
data: { wall: white }
`;

describe('kubectl through Portcullis', () => {
  let instance: RunningDemo;
  let alice: CliContext;
  let bob: CliContext;

  beforeAll(async () => {
    instance = await startTestInstance();
    alice = new CliContext(instance, 'alice');
    bob = new CliContext(instance, 'bob');
  });
  afterAll(async () => {
    alice.close();
    bob.close();
    await instance.stop();
  });

  it('signs in by itself at the first command, and gets', async () => {
    const got = await alice.kubectl('get', 'pods');
    expect(got.code, got.all).toBe(0);
    expect(got.stdout).toMatch(/^web-1 +1\/1 +Running/m);
  });

  it('is the user to the cluster: auth whoami', async () => {
    const who = await alice.kubectl('auth', 'whoami', '--output', 'json');
    expect(who.code, who.all).toBe(0);
    const { status } = JSON.parse(who.stdout) as { status: { userInfo: Record<string, unknown> } };
    expect(status.userInfo).toMatchObject({ username: 'demo:alice', uid: 'demo/alice' });
    expect(status.userInfo['groups']).toEqual(expect.arrayContaining(['demo:developers', 'system:authenticated']));
    expect(status.userInfo['extra']).toHaveProperty(['portcullis.dev/session']);
  });

  it('has the rights of the user, not of the proxy: auth can-i', async () => {
    expect((await alice.kubectl('auth', 'can-i', 'create', 'pods')).stdout.trim()).toBe('yes');
    expect((await alice.kubectl('auth', 'can-i', 'list', 'secrets', '--namespace', 'payments')).stdout.trim()).toBe(
      'no',
    );
    expect((await alice.kubectl('auth', 'can-i', 'impersonate', 'users')).stdout.trim()).toBe('no');
    expect((await bob.kubectl('auth', 'can-i', 'get', 'pods')).stdout.trim()).toBe('no');
  });

  it('is answered in v1beta1 where its kubeconfig asks for that, as those of older clients do', async () => {
    const kubeconfig = `${instance.files.directory}/v1beta1.kubeconfig`;
    const usual = await readFile(instance.files.kubeconfig, 'utf8');
    const older = usual.replaceAll('client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1');
    expect(older).not.toBe(usual);
    await writeFile(kubeconfig, older);
    const client = new CliContext(instance, 'alice', { KUBECONFIG: kubeconfig });
    const got = await client.kubectl('get', 'pods');
    client.close();
    expect(got.code, got.all).toBe(0);
    expect(got.stdout).toMatch(/^web-1 +1\/1 +Running/m);
  });

  it('reaches a cluster under its prefix, behind kubectl proxy too where that is told to keep the path', async () => {
    const kubeconfig = `${instance.files.directory}/prefix.kubeconfig`;
    const usual = await readFile(instance.files.kubeconfig, 'utf8');
    const { port } = new URL(instance.urls.api);
    // The host name would choose the cluster by itself.
    const prefixed = usual.replaceAll(`https://localhost:${port}`, `https://127.0.0.1:${port}/clusters/demo`);
    expect(prefixed).not.toBe(usual);
    await writeFile(kubeconfig, prefixed);
    const client = new CliContext(instance, 'alice', { KUBECONFIG: kubeconfig });
    const got = await client.kubectl('get', 'pods');
    expect(got.code, got.all).toBe(0);
    const statuses: number[] = [];
    for (const options of [['--append-server-path'], []]) {
      const proxy = client.openKubectl('proxy', '--port', '0', ...options);
      await proxy.until(/Starting to serve on 127\.0\.0\.1:\d+/);
      const [, at] = /127\.0\.0\.1:(\d+)/.exec(proxy.output()) ?? [];
      const { statusCode, body } = await request(`http://127.0.0.1:${at}/api/v1/namespaces/default/pods`);
      await body.dump();
      statuses.push(statusCode);
    }
    client.close();
    expect(statuses).toEqual([200, 404]);
  });

  it("passes on the cluster's own rejection, by the user's name", async () => {
    const refused = await bob.kubectl('get', 'pods');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('pods is forbidden: User "demo:bob" cannot list resource "pods"');
  });

  it('applies, changes, reads back and deletes', async () => {
    const applied = await alice.kubectlWith(CONFIG_MAP, 'apply', '--filename', '-');
    expect(applied.stdout, applied.all).toContain('configmap/colours created');
    const changed = await alice.kubectlWith(CONFIG_MAP.replace('white', 'blue'), 'apply', '--filename', '-');
    expect(changed.stdout, changed.all).toContain('configmap/colours configured');
    expect((await alice.kubectl('get', 'configmap', 'colours', '--output', 'jsonpath={.data.wall}')).stdout).toBe(
      'blue',
    );
    expect((await alice.kubectl('delete', 'configmap', 'colours')).stdout).toContain('deleted');
    expect((await alice.kubectl('get', 'configmap', 'colours')).stderr).toContain('not found');
  });

  it('watches: a change made elsewhere arrives', async () => {
    const watch = alice.open('kubectl', ['get', 'configmaps', '--watch', '--output', 'name']);
    await expect.poll(async () => (await auditedBy(instance)).some(isOpen('watch', 'configmaps'))).toBe(true);
    await alice.kubectl('create', 'configmap', 'seen', '--from-literal', 'a=b');
    await expect(watch.until(/configmap\/seen/)).resolves.toBeUndefined();
    watch.child.kill();
    await alice.kubectl('delete', 'configmap', 'seen');
  });

  it('follows logs as they are written', async () => {
    const logs = alice.open('kubectl', ['logs', '--follow', '--tail', '1', 'web-1']);
    await expect(logs.until(/\n.*\n/)).resolves.toBeUndefined();
    logs.child.kill();
  });

  it('executes over WebSocket: output, standard input and exit code', async () => {
    const said = await alice.kubectl('exec', 'web-1', '--', 'echo', 'from inside');
    expect(said.stdout, said.all).toBe('from inside\n');
    const piped = await alice.open('kubectl', ['exec', '-i', 'web-1', '--', 'cat'], 'through Portcullis\n').finished;
    expect(piped.stdout, piped.all).toBe('through Portcullis\n');
    const failed = await alice.kubectl('exec', 'web-1', '--', 'sh', '-c', 'exit 7');
    expect(failed.code, failed.all).toBe(7);
  });

  it('forwards a port', async () => {
    const port = await freePort();
    const forward = alice.open('kubectl', ['port-forward', 'pod/web-1', `${port}:8080`]);
    await forward.until(/Forwarding from/);
    const answer = await request(`http://127.0.0.1:${port}/`);
    expect(answer.statusCode).toBe(200);
    expect(await answer.body.text()).not.toBe('');
    forward.child.kill();
  });

  it('rejects --as with a message, and sends nothing on under the real name', async () => {
    const refused = await alice.kubectl('get', 'pods', '--as', 'demo:root');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/impersonat/i);
    const events = (await auditedBy(instance)).filter(({ responseStatus }) => responseStatus?.code === 403);
    expect(events.at(-1)?.annotations['portcullis.dev/reason']).toMatch(/impersonat/);
  });

  it('has each of these in the audit log, with the user and without a secret', async () => {
    const events = (await auditedBy(instance)).filter(({ user }) => user.username === 'demo:alice');
    const seen = new Set(
      events.map(({ verb, objectRef }) => `${verb} ${objectRef?.resource ?? ''}/${objectRef?.subresource ?? ''}`),
    );
    for (const expected of [
      'list pods/',
      'patch configmaps/',
      'delete configmaps/',
      'watch configmaps/',
      'get pods/log',
      'get pods/exec',
      'get pods/portforward',
    ]) {
      expect([...seen]).toContain(expected);
    }
    const text = JSON.stringify(events);
    expect(text).not.toMatch(/eyJ[\w-]+\.eyJ/);
    expect(text).not.toContain('from inside');
  });
});

const isOpen =
  (verb: string, resource: string) =>
  (event: AuditEvent): boolean =>
    event.stage === 'ResponseStarted' && event.verb === verb && event.objectRef?.resource === resource;
