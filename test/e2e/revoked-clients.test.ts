/** What docs/clients.md says of clients other than kubectl whose session is revoked while they run. */
import { join } from 'node:path';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { auditedBy } from '../support/audit-log.ts';
import { readPage } from '../unit/docs/markdown.ts';

/** Of the page, as it may be broken over lines. */
const page = readPage('docs/clients.md').replaceAll(/\s+/g, ' ');

describe('a client whose session is revoked', () => {
  let instance: RunningDemo;
  let root: CliContext;
  beforeAll(async () => {
    instance = await startTestInstance();
    root = new CliContext(instance, 'root');
    const signedIn = await root.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
  });
  afterAll(() => instance.stop());

  async function revoke(user: string): Promise<void> {
    const done = await root.portcullis('revoke', '--account', `demo/${user}`, '--reason', 'laptop lost');
    expect(done.stdout, done.all).toMatch(/^complete: 1 session ended/);
  }

  it('Helm fails after one request, and opens no browser where none may open', async () => {
    const home = (name: string): string => join(instance.files.directory, 'helm', name);
    const settings = { HELM_CACHE_HOME: home('cache'), HELM_CONFIG_HOME: home('config'), HELM_DATA_HOME: home('data') };
    const alice = new CliContext(instance, 'alice', settings);
    const { helm } = await newestClients();
    expect((await alice.portcullis('login')).code).toBe(0);
    expect((await alice.open(helm, ['list']).finished).stderr).toContain('secrets is forbidden: User "demo:alice"');
    await revoke('alice');
    const unattended = new CliContext(instance, 'alice', { ...settings, PORTCULLIS_NO_BROWSER: '1' });
    const failed = await unattended.open(helm, ['list']).finished;
    expect(failed.code).toBe(1);
    const said = 'kubernetes cluster unreachable: the server has asked for the client to provide credentials';
    expect(page).toContain(said);
    expect(failed.stderr).toContain(said);
    expect(failed.stderr).toContain('portcullis: The server says: This session is over');
    const rejected = (await auditedBy(instance)).filter(
      ({ annotations }) => annotations['portcullis.dev/reason'] === 'session_revoked',
    );
    expect(rejected.map(({ verb, requestURI }) => [verb, requestURI])).toEqual([['get', '/version']]);
  });

  it('@kubernetes/client-node has an error event, and 401 until its credential expires', async () => {
    const again = new CliContext(instance, 'alice', { PORTCULLIS_CACHE_DIR: '' });
    expect((await again.portcullis('login')).code).toBe(0);
    const config = new KubeConfig();
    config.loadFromFile(instance.files.kubeconfig);
    const api = config.makeApiClient(CoreV1Api);
    const list = () => api.listNamespacedPod({ namespace: 'default' });
    const informer = makeInformer(config, '/api/v1/namespaces/default/pods', list);
    const ended = Promise.withResolvers<unknown>();
    informer.on('error', ended.resolve);
    await informer.start();
    await revoke('alice');
    const error = String(await ended.promise);
    expect(error).toBe('TypeError: terminated');
    expect(page).toContain(`\`${error}\``);
    await informer.stop();
    await expect(list()).rejects.toThrow(/^HTTP-Code: 401\nMessage: Unauthorized/);
    expect(page).toContain('`HTTP-Code: 401 Message: Unauthorized`');
    expect((await again.portcullis('login')).code).toBe(0);
    await expect(list()).rejects.toMatchObject({ code: 401 });
  });
});
