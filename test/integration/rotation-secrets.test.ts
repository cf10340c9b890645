/** `keys rotate --kubernetes-secret`: the Secrets are rotated in place, through an API that stores the requests. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inClusterApi, type ClusterApi } from '../../src/commands/cluster-api.ts';
import { rotate } from '../../src/commands/key-commands.ts';
import { parseSecretsName, rotateSecrets } from '../../src/commands/key-secrets.ts';
import { loadSigningKeys } from '../../src/config/keys.ts';
import { makeCertificates } from '../../demo/certificates.ts';

const NOW = 1_800_000_000;
const HOUR = 3600;
const PATH = '/api/v1/namespaces/proxies/secrets';
const WHERE = { namespace: 'proxies', name: 'portcullis' };

interface Secret {
  metadata: { name: string; resourceVersion?: string; labels?: object };
  data?: Record<string, string>;
  type?: string;
}

/** Versions as the API server keeps them: a new one for each write, and a conflict for a writer that has read another one. */
class SecretsApi {
  readonly asked: string[] = [];
  readonly secrets = new Map<string, Secret>();
  /** Happens before the response to a write: another client writes. */
  meanwhile: () => void = () => {};
  forbidden: string | undefined;
  token = '';
  #version = 0;
  readonly server: Server;

  constructor(tls: { readonly cert: string; readonly key: string }) {
    this.server = createServer(tls, (req, res) => void this.#serve(req, res));
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { method = '', url = '' } = req;
    this.asked.push(`${method} ${url}`);
    this.token = req.headers.authorization ?? '';
    const sent = method === 'GET' ? undefined : ((await json(req)) as Secret);
    const [status, body] = method === this.forbidden ? [403, {}] : this.#answer(method, url, sent);
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  write(name: string, secret: Secret): Secret {
    this.#version += 1;
    const kept = { ...secret, metadata: { ...secret.metadata, name, resourceVersion: String(this.#version) } };
    this.secrets.set(name, kept);
    return kept;
  }

  #answer(method: string, url: string, sent: Secret | undefined): readonly [number, object] {
    if (sent !== undefined) this.meanwhile();
    const name = url === PATH ? (sent?.metadata.name ?? '') : url.slice(PATH.length + 1);
    const there = this.secrets.get(name);
    if (method === 'GET') return there === undefined ? [404, {}] : [200, there];
    if (sent === undefined || !url.startsWith(PATH)) return [400, {}];
    if (method === 'POST') return there === undefined ? [201, this.write(name, sent)] : [409, {}];
    if (sent.metadata.resourceVersion !== there?.metadata.resourceVersion) return [409, {}];
    return [200, this.write(name, sent)];
  }
}

let folder: string;
let stage: SecretsApi;
let environment: Record<string, string>;
let api: ClusterApi;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'portcullis-secrets-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  const certificates = await makeCertificates(['127.0.0.1'], Date.now());
  stage = new SecretsApi(certificates);
  stage.server.listen(0, '127.0.0.1');
  await once(stage.server, 'listening');
  const { port } = stage.server.address() as AddressInfo;
  environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) };
  await writeFile(join(folder, 'token'), 'pod-canary\n');
  await writeFile(join(folder, 'ca.crt'), certificates.ca);
  api = inClusterApi(environment, folder);
  return () => {
    stage.server.close();
    stage.server.closeAllConnections();
  };
});

const names = (secret: string): readonly string[] => Object.keys(stage.secrets.get(secret)?.data ?? {});

/** Written out as kubelet would mount it. */
async function mounted(secret: string): Promise<string> {
  const directory = await mkdtemp(join(folder, 'mounted-'));
  for (const [name, value] of Object.entries(stage.secrets.get(secret)?.data ?? {})) {
    await writeFile(join(directory, name), Buffer.from(value, 'base64'));
  }
  return directory;
}

describe('in a pod', () => {
  it('creates the three Secrets where there are none, and makes no other request', async () => {
    await rotateSecrets(api, WHERE, { now: NOW });
    const secrets = ['portcullis-signing-keys', 'portcullis-sealing-keys', 'portcullis-audit-keys'];
    expect([...stage.secrets.keys()]).toEqual(secrets);
    expect(stage.asked).toEqual(secrets.flatMap((name) => [`GET ${PATH}/${name}`, `POST ${PATH}`]));
    expect(stage.token).toBe('Bearer pod-canary');
    expect((await loadSigningKeys(await mounted('portcullis-signing-keys'), NOW)).issuedAt).toBe(NOW);
  });

  it('adds keys to the Secrets that exist, and removes keys that are no longer needed', async () => {
    for (const at of [0, HOUR, 3 * HOUR]) await rotateSecrets(api, WHERE, { now: NOW + at, retireAfter: HOUR });
    for (const kind of ['signing', 'sealing']) expect(names(`portcullis-${kind}-keys`)).toHaveLength(2);
    expect(names('portcullis-audit-keys')).toHaveLength(3);
    const directory = await mounted('portcullis-signing-keys');
    expect((await loadSigningKeys(directory, NOW + 3 * HOUR)).issuedAt).toBe(NOW + HOUR);
  });

  it('does not change labels, type or anything else that is no key', async () => {
    const kept = {
      metadata: { name: '', labels: { 'helm.sh/chart': 'portcullis' } },
      type: 'Opaque',
      data: { note: 'aGk=' },
    };
    stage.write('portcullis-signing-keys', kept);
    await rotateSecrets(api, WHERE, { now: NOW });
    const now = stage.secrets.get('portcullis-signing-keys');
    expect(now).toMatchObject({ metadata: { labels: { 'helm.sh/chart': 'portcullis' } }, type: 'Opaque' });
    expect(names('portcullis-signing-keys')).toHaveLength(2);
    expect(now?.data?.['note']).toBe('aGk=');
  });

  it('reads again where another client has written meanwhile, and undoes nothing of that', async () => {
    await rotateSecrets(api, WHERE, { now: NOW });
    const theirs = JSON.stringify(JSON.parse(Buffer.from(firstOf('portcullis-signing-keys'), 'base64').toString()));
    stage.meanwhile = () => {
      stage.meanwhile = () => {};
      const secret = stage.secrets.get('portcullis-signing-keys');
      const renamed = JSON.stringify({ ...(JSON.parse(theirs) as object), kid: 'theirs', iat: NOW + 1 });
      const data = { ...secret?.data, 'theirs.json': Buffer.from(renamed).toString('base64') };
      stage.write('portcullis-signing-keys', { metadata: { name: '' }, data });
    };
    await rotateSecrets(api, WHERE, { now: NOW + HOUR });
    expect(names('portcullis-signing-keys')).toHaveLength(3);
    expect(names('portcullis-signing-keys')).toContain('theirs.json');
  });

  it('gives up with a message where another client always writes', async () => {
    await rotateSecrets(api, WHERE, { now: NOW });
    stage.meanwhile = () => {
      const secret = stage.secrets.get('portcullis-signing-keys');
      if (secret !== undefined) stage.write('portcullis-signing-keys', secret);
    };
    await expect(rotateSecrets(api, WHERE, { now: NOW + HOUR })).rejects.toThrow(/changed by another client each time/);
    expect(names('portcullis-signing-keys')).toHaveLength(1);
  });

  it.each([
    ['GET', 'may not get it'],
    ['POST', 'may not create it'],
  ])('reports which right is missing: %s', async (method, message) => {
    stage.forbidden = method;
    await expect(rotateSecrets(api, WHERE, { now: NOW })).rejects.toThrow(message);
  });

  it('touches no Secret in which a key cannot be read, and quotes nothing of it', async () => {
    const data = { 'a.json': Buffer.from('canary').toString('base64') };
    stage.write('portcullis-signing-keys', { metadata: { name: '' }, data });
    await expect(rotateSecrets(api, WHERE, { now: NOW })).rejects.toThrow(
      /portcullis-signing-keys cannot be used.*a\.json/s,
    );
    await expect(rotateSecrets(api, WHERE, { now: NOW })).rejects.not.toThrow('canary');
    expect(stage.secrets.get('portcullis-signing-keys')?.data).toEqual(data);
  });

  it('sends its token to no server whose certificate its own CAs do not verify', async () => {
    const strange = await makeCertificates(['127.0.0.1'], Date.now());
    await writeFile(join(folder, 'ca.crt'), strange.ca);
    await expect(rotateSecrets(inClusterApi(environment, folder), WHERE, { now: NOW })).rejects.toThrow(
      /certificate|issuer/,
    );
    expect(stage.asked).toEqual([]);
  });
});

const firstOf = (secret: string): string => Object.values(stage.secrets.get(secret)?.data ?? {})[0] ?? '';

it.each([
  'proxies',
  'proxies/',
  '/portcullis',
  'proxies/../x',
  'proxies/a/b',
  'Proxies/portcullis',
  'proxies/portcullis?x=1',
  'a.b/c',
])('accepts no other path as the name of Secrets: %s', (text) => {
  expect(parseSecretsName(text)).toBeUndefined();
});

describe('the command line', () => {
  const options = { dir: 'nowhere' };

  it('is rejected outside a pod, and where a value is invalid', async () => {
    expect(await rotate({ ...options, kubernetesSecret: 'proxies/portcullis' }, {})).toBe(1);
    expect(await rotate({ ...options, kubernetesSecret: 'proxies' }, {})).toBe(2);
    for (const retireAfter of ['7 days', '59m', '0s', '-1h'])
      expect(await rotate({ ...options, retireAfter }, {})).toBe(2);
  });

  it('rotates a folder', async () => {
    const dir = join(folder, 'keys');
    expect(await rotate({ dir, retireAfter: '168h' }, {})).toBe(0);
    expect(await rotate({ dir }, {})).toBe(0);
    expect(
      (
        await readFile(
          join(dir, 'signing', (await loadSigningKeys(join(dir, 'signing'))).current.kid + '.json'),
          'utf8',
        )
      ).length,
    ).toBeGreaterThan(0);
  });
});
