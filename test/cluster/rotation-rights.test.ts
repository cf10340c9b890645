import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inClusterApi, type ClusterApi } from '../../src/commands/cluster-api.ts';
import { rotateSecrets } from '../../src/commands/key-secrets.ts';
import { generateKeys } from '../../src/config/keys.ts';
import { rendered, valuesOf } from '../support/chart.ts';
import { temporaryFolder } from '../support/instance.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

const KINDS = ['signing', 'sealing', 'audit'] as const;

describe('the chart’s job that rotates keys, with the role that the chart renders', () => {
  let server: BareApiServer;
  let folder: string;
  let api: ClusterApi;

  beforeAll(async () => {
    server = await startBareApiServer();
    folder = await temporaryFolder();
    await kubectl(['create', 'namespace', 'portcullis']);
    const objects = await rendered('--values', valuesOf('small'), '--set', 'keys.rotation.enabled=true');
    const account = objects.filter(({ kind }) => ['ServiceAccount', 'Role', 'RoleBinding'].includes(kind));
    await kubectl(['apply', '--filename', '-'], account.map((object) => stringify(object)).join('---\n'));
    // As docs/install.md has it.
    const at = (kind: string): string => join(folder, 'keys', kind);
    await generateKeys({ signingDir: at('signing'), sealingDir: at('sealing'), auditDir: at('audit') });
    for (const kind of KINDS)
      await kubectl(['create', 'secret', 'generic', `portcullis-${kind}-keys`, '--from-file', at(kind)]);
    await kubectl(['create', 'secret', 'generic', 'portcullis-oidc', '--from-literal', 'client-secret=s']);
    await writeFile(join(folder, 'token'), await kubectl(['create', 'token', 'portcullis-keys']));
    await writeFile(join(folder, 'ca.crt'), server.ca);
    const { hostname, port } = new URL(server.url);
    api = inClusterApi({ KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }, folder);
  });
  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function kubectl(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await server.kubectl([...args, '--namespace', 'portcullis'], input);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  it('makes a new key of each kind next to the old one', async () => {
    const rotated = await rotateSecrets(
      api,
      { namespace: 'portcullis', name: 'portcullis' },
      { now: Math.floor(Date.now() / 1000) },
    );
    expect(rotated.map(({ made }) => made.length)).toEqual([1, 1, 1]);
    for (const kind of KINDS) {
      const { data } = JSON.parse(await kubectl(['get', 'secret', `portcullis-${kind}-keys`, '--output', 'json'])) as {
        data: object;
      };
      expect(Object.keys(data)).toHaveLength(2);
    }
  });

  it('may do nothing else', async () => {
    const secrets = '/api/v1/namespaces/portcullis/secrets';
    const fresh = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'another', namespace: 'portcullis' } };
    const answers = await Promise.all([
      api.request('GET', secrets),
      api.request('GET', `${secrets}/portcullis-oidc`),
      api.request('PUT', `${secrets}/portcullis-oidc`, { ...fresh, metadata: { name: 'portcullis-oidc' } }),
      api.request('POST', secrets, fresh),
      api.request('GET', '/api/v1/namespaces/default/secrets/portcullis-signing-keys'),
      api.request('GET', '/api/v1/pods'),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 403]);
  });
});
