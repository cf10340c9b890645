import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { makeCertificates } from '../../../demo/certificates.ts';
import { errorsOf, loaded, placesOf, settings } from './sandbox.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = (...keys: readonly object[]): string => JSON.stringify({ keys });
const good = jwks(publicKey.export({ format: 'jwk' }));

const client = {
  id: 'mcp-server',
  resource: 'https://mcp.example.com/mcp',
  jwksFile: 'mcp.jwks',
  limit: { preset: 'read-only' },
  clusters: ['prod'],
};
const unbound = { ...client, binding: 'none', sourceCidrs: ['10.0.0.0/8'] };

const withClients = (...clients: readonly object[]): object => ({ ...settings(), delegation: { clients } });
const files = { 'mcp.jwks': good };

describe('clients of token exchange', () => {
  test('are bound to their certificates and have fifteen minutes, where nothing else is said', async () => {
    const { config, directory } = await loaded(withClients(client), files);
    const { jwksFile, ...rest } = client;
    expect(config.delegation.clients).toEqual([
      { ...rest, jwksFile: join(directory, jwksFile), lifetime: 900, binding: 'certificate' },
    ]);
    expect((await loaded(withClients(unbound), files)).config.delegation.clients[0]?.lifetime).toBe(120);
  });

  test.each<readonly [string, object, string]>([
    ['an id with a space', { id: 'mcp server' }, 'id'],
    ['the plugin’s id', { id: 'portcullis-cli' }, 'id'],
    ['the id of workloads', { id: 'workload' }, 'id'],
    ['a resource that is no URL', { resource: 'mcp' }, 'resource'],
    ['a resource without TLS', { resource: 'http://mcp.example.com/mcp' }, 'resource'],
    ['a resource with a fragment', { resource: 'https://mcp.example.com/mcp#a' }, 'resource'],
    ['a resource in another spelling', { resource: 'HTTPS://mcp.example.com/mcp' }, 'resource'],
    ['no limit', { limit: undefined }, 'limit'],
    ['an empty limit', { limit: {} }, 'limit'],
    [
      'an unknown verb',
      { limit: { rules: [{ verbs: ['read'], apiGroups: [''], resources: ['pods'] }] } },
      'limit.rules[0].verbs[0]',
    ],
    ['no cluster', { clusters: [] }, 'clusters'],
    ['an unknown cluster', { clusters: ['prod', 'staging'] }, 'clusters[1]'],
    ['no way to authenticate', { jwksFile: undefined }, ''],
    ['two ways', { jwksUrl: 'https://mcp.example.com/jwks' }, 'jwksUrl'],
    ['an address without TLS', { jwksFile: undefined, jwksUrl: 'http://mcp.example.com/jwks' }, 'jwksUrl'],
    ['a CA without an address', { caFile: 'tls.crt' }, 'caFile'],
    ['a proxy without an address', { proxy: 'none' }, 'proxy'],
    ['a lifetime of two days', { lifetime: '48h' }, 'lifetime'],
    ['no source', { sourceCidrs: [] }, 'sourceCidrs'],
    ['a file that is not there', { jwksFile: 'gone.jwks' }, 'jwksFile'],
    ['an unknown setting', { audience: 'x' }, 'audience'],
    ['a secret', { clientSecretFile: 'client-secret' }, 'clientSecretFile'],
  ])('refuse %s', async (_what, change, place) => {
    const at = place === '' ? 'delegation.clients[0]' : `delegation.clients[0].${place}`;
    expect(await placesOf(withClients({ ...client, ...change }), files)).toEqual([at]);
  });

  test.each<readonly [string, object, string]>([
    ['for longer than two minutes', { lifetime: '121s' }, 'lifetime'],
    ['for two clusters', { clusters: ['prod', 'lab'] }, 'clusters'],
    ['from anywhere', { sourceCidrs: undefined }, 'sourceCidrs'],
    ['by a certificate', { jwksFile: undefined, certFile: 'mcp.crt' }, 'binding'],
  ])('have no tokens without a key %s', async (_what, change, place) => {
    const base = {
      ...settings(),
      clusters: [...settings().clusters, { ...settings().clusters[0], name: 'lab', hosts: [] }],
    };
    const { cert } = await makeCertificates(['client'], Date.now());
    const changed = { ...base, delegation: { clients: [{ ...unbound, ...change }] } };
    expect(await placesOf(changed, { ...files, 'mcp.crt': cert })).toEqual([`delegation.clients[0].${place}`]);
  });

  test.each<readonly [string, string]>([
    ['no JSON', '{'],
    ['no set', '{}'],
    ['no key', jwks()],
    ['a private key', jwks(privateKey.export({ format: 'jwk' }))],
    ['a secret', jwks(publicKey.export({ format: 'jwk' }), { kty: 'oct', k: 'c2VjcmV0' })],
    ['a short RSA key', jwks(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }))],
    ['a key for encryption', jwks({ ...publicKey.export({ format: 'jwk' }), use: 'enc' })],
    [
      'a key of another curve',
      jwks(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })),
    ],
  ])('refuse a file with %s, and show nothing of it', async (_what, content) => {
    const errors = await errorsOf(withClients(client), {}, { 'mcp.jwks': content });
    expect(errors.map(({ path }) => path)).toEqual(['delegation.clients[0].jwksFile']);
    expect(errors[0]?.expected).toContain('a JWK Set with a public key');
    expect(JSON.stringify(errors)).not.toContain('c2VjcmV0');
  });

  test('refuse a file without a certificate', async () => {
    const change = withClients({ ...client, jwksFile: undefined, certFile: 'mcp.crt' });
    expect(await placesOf(change, { 'mcp.crt': 'certificate' })).toEqual(['delegation.clients[0].certFile']);
  });

  test('have an id and a resource each of their own, also among public clients', async () => {
    expect(await placesOf(withClients(client, client), files)).toEqual([
      'delegation.clients[1].id',
      'delegation.clients[1].resource',
    ]);
    const publicClients = [{ id: 'mcp-server', cluster: 'prod' }];
    const both = { ...withClients(client), sessions: { publicClients } };
    expect(await placesOf(both, files)).toEqual(['delegation.clients[0].id']);
  });

  test('are for clusters that may be delegated', async () => {
    const none = { ...settings(), delegation: { clusters: [], clients: [client] } };
    expect(await placesOf(none, files)).toEqual(['delegation.clients[0].clusters[0]']);
  });

  test.each<readonly [string, object, string]>([
    ['a resource that no client has', { resource: 'https://other.example.com' }, 'resource'],
    ['a resource and a cluster', { resource: client.resource, cluster: 'prod' }, 'resource'],
    ['neither', {}, 'cluster'],
  ])('a public client is refused with %s', async (_what, change, place) => {
    const publicClients = [{ id: 'mcp-client', ...change }];
    const both = { ...withClients(client), sessions: { publicClients } };
    expect(await placesOf(both, files)).toEqual([`sessions.publicClients[0].${place}`]);
  });

  test('metadata documents need a client that their tokens are for', async () => {
    const alone = { ...settings(), delegation: { clientMetadata: { hosts: ['app.example.com'] } } };
    expect(await placesOf(alone)).toEqual(['delegation.clientMetadata.hosts']);
    const url = {
      ...settings(),
      delegation: { clients: [client], clientMetadata: { hosts: ['https://app.example.com'] } },
    };
    expect(await placesOf(url, files)).toEqual(['delegation.clientMetadata.hosts[0]']);
  });

  test('the guide’s configuration is a good one', async () => {
    const guide = readFileSync(join(import.meta.dirname, '../../../docs/token-exchange.md'), 'utf8');
    const [, block = ''] = /```yaml\n([\s\S]*?)```/.exec(guide) ?? [];
    const { config } = await loaded({ ...settings(), ...(parse(block) as object) });
    expect(config.sessions.publicClients[0]?.resource).toBe(config.delegation.clients[0]?.resource);
  });
});
