import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { startTestInstance, type Settings, type TestInstance } from '../../support/instance.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from '../../support/workload-issuer.ts';
import { Machine, type Ended } from './machine.ts';

const rules = (issuer: string, ca: string): string => `
workload:
  - { name: probe, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "example"', role: drill,
      clusters: [demo], username: claims.repository, groups: '["developers"]', groupsPrefix: "demo:" }
  - { name: ci, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "ci"', clusters: [demo] }
  - { name: siem, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "siem"', role: revoker }
  - { name: reader, issuer: "${issuer}", caFile: ${ca}, match: 'claims.repository_owner == "reader"', role: auditor }
`;

describe('drill --token-file, as a probe from cron at a real server', () => {
  const machine = new Machine();
  let instance: TestInstance;
  let issuer: WorkloadIssuer;

  beforeAll(async () => {
    instance = await startTestInstance();
    issuer = await startWorkloadIssuer(instance.urls.web);
    const ca = join(instance.files.directory, 'issuer.crt');
    await writeFile(ca, issuer.ca);
    await instance.restart({
      file: (settings) => ({ ...settings, ...(parse(rules(issuer.issuer, ca)) as Settings) }),
    });
  });
  afterAll(async () => {
    machine.remove();
    await instance.stop();
    await issuer.close();
  });

  async function drill(token: string, ...more: readonly string[]): Promise<Ended> {
    const file = join(machine.home, 'token');
    await writeFile(file, token);
    return machine.run('drill', '--server', instance.urls.web, '--token-file', file, ...more);
  }

  const pods = ['--path', '/api/v1/namespaces/default/pods?watch=1'] as const;

  test('passes each time, with one token as a pod has it, and with the next one', async () => {
    const token = await issuer.token();
    for (const shown of [token, token, await issuer.token()]) {
      const ended = await drill(shown, ...pods);
      expect(ended, ended.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('drill PASSED') });
    }
  });

  test('exits 1 with the reason when the workload may not watch the resource', async () => {
    const ended = await drill(await issuer.token(), '--path', '/api/v1/secrets?watch=1');
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/drill FAILED\n[^]*NO +NO +-? +\S+/);
  });

  test('is rejected for a workload of another role', async () => {
    const ended = await drill(await issuer.token({ repository_owner: 'ci' }), ...pods);
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('a workload rule with the role for it');
  });

  test('a SIEM locks an account as a workload of role revoker, and can do nothing else', async () => {
    const file = join(machine.home, 'token');
    const api = (...args: readonly string[]): Promise<Ended> =>
      machine.run('api', '--server', instance.urls.web, '--token-file', file, ...args);
    await writeFile(file, await issuer.token({ repository_owner: 'siem' }));
    const body = JSON.stringify({ account: 'demo/bob', force: true, reason: 'SIEM alert 17' });
    const locked = await api('POST', '/locks', '--body', body);
    expect(locked, locked.stderr).toMatchObject({ code: 0 });
    const receipt = JSON.parse(locked.stdout) as { id: string };
    expect(receipt).toMatchObject({ complete: true, target: 'account:demo/bob', lock: true, reason: 'SIEM alert 17' });
    expect(JSON.parse((await api('GET', `/revocations/${receipt.id}`)).stdout)).toMatchObject({ id: receipt.id });
    expect(await api('DELETE', '/locks/demo%2Fbob?reason=x')).toMatchObject({ code: 3, stdout: '' });
    expect(await api('GET', '/sessions')).toMatchObject({ code: 3, stdout: '' });
    await writeFile(file, await issuer.token({ repository_owner: 'reader' }));
    const { stdout } = await api('GET', '/locks');
    expect(JSON.parse(stdout)).toMatchObject({ locks: [{ account: 'demo/bob' }] });
    expect(await api('POST', '/locks', '--body', body)).toMatchObject({ code: 3, stdout: '' });
    const token = await machine.run('get-token', '--server', instance.urls.web, '--admin', '--token-file', file);
    expect(JSON.parse(token.stdout)).toMatchObject({ kind: 'ExecCredential' });
  });
});
