import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDemo } from '../../demo/launch.ts';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';
import type { RealInstance } from './real-instance.ts';

describe('a cluster with the audit policy and the encryption of deploy/examples/apiserver', () => {
  let server: HardenedApiServer;
  let real: RealInstance;
  let root: CliContext;

  beforeAll(async () => {
    server = await startHardenedApiServer();
    const folder = await temporaryFolder();
    const { kubeconfig, auditLog } = server;
    const instance = await startDemo({ directory: join(folder, 'demo'), portBase: await freePortBase(), kubeconfig });
    real = {
      instance,
      apiServerAudit: async () => {
        const lines = (await readFile(auditLog, 'utf8')).split('\n').filter((line) => line !== '');
        return lines.map((line) => JSON.parse(line) as ApiServerEvent);
      },
      stop: async () => {
        await instance.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
    root = new CliContext(instance, 'root');
  });
  afterAll(async () => {
    root.close();
    await real.stop();
    await server.close();
  });

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, all } = await root.kubectl(...args);
    expect(code, all).toBe(0);
    return stdout;
  }

  it('keeps Secrets and ConfigMaps in etcd encrypted, and reads them back', async () => {
    await done('create', 'secret', 'generic', 'treasure', '--from-literal', 'word=in-the-clear');
    await done('create', 'configmap', 'settings', '--from-literal', 'word=in-the-clear');
    for (const kind of ['secrets/default/treasure', 'configmaps/default/settings']) {
      const bytes = await server.stored(`/registry/${kind}`);
      expect(bytes?.subarray(0, 21).toString('latin1')).toBe('k8s:enc:secretbox:v1:');
      expect(bytes?.includes('in-the-clear')).toBe(false);
    }
    expect((await server.stored('/registry/pods/default/web-1'))?.subarray(0, 4).toString('latin1')).toBe('k8s\0');
    const word = await done('get', 'secret', 'treasure', '--output', 'jsonpath={.data.word}');
    expect(Buffer.from(word, 'base64').toString()).toBe('in-the-clear');
  });

  it('writes an audit log that joins Portcullis’s on the Audit-ID, and has no body of a Secret in it', async () => {
    await done('get', 'pods');
    expect((await root.kubectl('get', 'pod', 'no-pod')).code).toBe(1);
    expect(await expectJoinedAudit(real)).toBeGreaterThan(4);
    const about = (await real.apiServerAudit()).filter(({ objectRef }) => objectRef?.['resource'] === 'secrets');
    expect(about.length).toBeGreaterThan(1);
    for (const event of about) {
      expect(event).toMatchObject({ level: 'Metadata' });
      expect(event).not.toHaveProperty('requestObject');
    }
  });

  it('keeps whole what changes rights, with the user who did it', async () => {
    await done('create', 'role', 'reader', '--verb', 'list', '--resource', 'pods');
    const made = async () => (await real.apiServerAudit()).find(({ objectRef }) => objectRef?.['name'] === 'reader');
    await expect.poll(made, { timeout: 10_000 }).toMatchObject({
      level: 'RequestResponse',
      impersonatedUser: { username: 'demo:root' },
      requestObject: { rules: [{ verbs: ['list'], resources: ['pods'] }] },
    });
  });

  it('shows the users who bypassed Portcullis, and no user who came through it (docs/break-glass.md)', async () => {
    const bypassed = (await real.apiServerAudit()).filter(({ user }) => !user.username?.startsWith('system:'));
    // The demo itself prepared this cluster with its administrator's credential, before Portcullis started.
    expect(bypassed.length).toBeGreaterThan(0);
    expect([...new Set(bypassed.map(({ user }) => user.username))]).toEqual(['masters']);
  });
});
