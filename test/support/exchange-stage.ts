/** A server with registered clients that exchange users' tokens, a public client for the resource of one, and two clusters. */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { parse, stringify } from 'yaml';
import type { RunningDemo } from '../../demo/launch.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance, untilSettled } from './instance.ts';
import { newClientKey, OAuthClient, type Answer, type ClientKey } from './oauth-client.ts';
import { startRedis } from './redis.ts';
import { startWorkloadIssuer, type WorkloadIssuer } from './workload-issuer.ts';

export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const RESOURCE = 'https://mcp.example.com/mcp';
export const OTHER = 'urn:portcullis:cluster:other';
export const DEMO = 'urn:portcullis:cluster:demo';
export const PODS = '/api/v1/namespaces/default/pods';
/** A public client, as an MCP client with a loopback redirect is. */
export const MCP_CLIENT = 'mcp-client';

export const RIGHTS = 'urn:portcullis:rights';
/** `authorization_details` for these rights. */
export const rights = (more: object): { authorization_details: string } => ({
  authorization_details: JSON.stringify([{ type: RIGHTS, ...more }]),
});

type Form = Record<string, string>;

export interface ExchangeStage {
  readonly instance: RunningDemo;
  readonly server: RunningServer;
  /** The plugin of a user, with its own key. */
  readonly user: OAuthClient;
  /** The registered clients, each with the key of its connection. */
  readonly mcp: OAuthClient;
  readonly tls: OAuthClient;
  readonly bare: OAuthClient;
  /** A user's token for a resource, by PKCE in a browser. */
  subject(user: string, resource?: string): Promise<string>;
  /** An assertion of `mcp` unless claims, header or key say otherwise. */
  assertion(
    claims?: Readonly<Record<string, unknown>>,
    options?: { readonly alg?: string; readonly key?: CryptoKey | Uint8Array },
  ): Promise<string>;
  /** An exchange of `mcp`, authenticated by an assertion of its own. */
  exchange(
    subjectToken: string,
    form?: Form,
    by?: { readonly id?: string; readonly from?: OAuthClient },
  ): Promise<Answer>;
  /** By the certificate of its connection. */
  exchangeByTls(subjectToken: string, form?: Form, from?: OAuthClient): Promise<Answer>;
  /** Events of this name; undefined: requests to clusters. */
  events(name: string | undefined): Promise<readonly AuditEvent[]>;
  /** The private key of one of them. */
  keyOf(id: string): Promise<CryptoKey>;
  /** Stops the server and starts another one, which has nothing in its memory. With Redis alone. */
  restart(): Promise<void>;
  /** Documents at an address, by path. */
  readonly published: WorkloadIssuer;
  stop(): Promise<void>;
}

export async function startExchangeStage(options: { readonly redis?: boolean } = {}): Promise<ExchangeStage> {
  const redis = options.redis === true ? await startRedis() : undefined;
  const instance = await startTestInstance(redis === undefined ? {} : { redis: redis.url });
  const host = await startWorkloadIssuer(instance.urls.web);
  const directory = instance.files.directory;
  const keys = new Map<string, CryptoKey>();
  const jwks = async (id: string): Promise<object> => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    keys.set(id, privateKey);
    return { keys: [{ ...(await exportJWK(publicKey)), kid: id }] };
  };
  const written = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  const tlsKey = await newClientKey();
  host.documents.set('/jwks-url', await jwks('mcp-url'));
  const limit = { preset: 'read-only', namespaces: ['default', 'shop'] };
  const client = (id: string, more: object): object => ({
    id,
    resource: id === 'mcp' ? RESOURCE : `https://${id}.example.com/mcp`,
    limit,
    clusters: ['demo'],
    ...more,
  });
  const settings = parse(await readFile(instance.files.config, 'utf8')) as Record<string, unknown>;
  const [demo] = settings['clusters'] as readonly Readonly<Record<string, unknown>>[];
  const api = instance.urls.api;
  const other = { ...demo, name: 'other', hosts: [], publicUrl: `${api}/clusters/other` };
  const file = await written(
    'exchange.yaml',
    stringify({
      ...settings,
      clusters: [demo, other, { ...other, name: 'closed', publicUrl: `${api}/clusters/closed`, allow: 'false' }],
      limits: { signInsPerMinute: 1000 },
      sessions: {
        publicClients: [{ id: MCP_CLIENT, resource: RESOURCE, redirectUris: ['http://127.0.0.1:9/callback'] }],
      },
      delegation: {
        perSession: 4,
        clientMetadata: { hosts: ['localhost'], caFile: await written('host.crt', host.ca) },
        clients: [
          client('mcp', {
            jwksFile: await written('mcp.jwks', JSON.stringify(await jwks('mcp'))),
            clusters: ['demo', 'other', 'closed'],
          }),
          client('mcp-url', { jwksUrl: `${host.issuer}/jwks-url`, caFile: await written('host.crt', host.ca) }),
          client('mcp-tls', { certFile: await written('tls.crt', tlsKey.cert) }),
          client('mcp-bare', {
            jwksFile: await written('bare.jwks', JSON.stringify(await jwks('mcp-bare'))),
            binding: 'none',
            lifetime: '90s',
            sourceCidrs: ['127.0.0.0/8'],
          }),
          client('mcp-away', {
            jwksFile: await written('away.jwks', JSON.stringify(await jwks('mcp-away'))),
            binding: 'none',
            lifetime: '90s',
            sourceCidrs: ['192.0.2.0/24'],
          }),
        ],
      },
    }),
  );
  const loaded = await loadConfig({ file, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  await instance.server.stop();
  const start = async (): Promise<RunningServer> => {
    const started = await startServer(loaded.value.config);
    await started.ready;
    if (redis !== undefined) await untilSettled(started.store);
    return started;
  };
  let server = await start();
  const endpoints = { web: instance.urls.web, api, ca: await readFile(`${directory}/ca.crt`, 'utf8') };
  const clients: OAuthClient[] = [];
  const connect = (key: ClientKey | undefined): OAuthClient => {
    const made = new OAuthClient(endpoints, key);
    clients.push(made);
    return made;
  };
  const user = connect(await newClientKey());
  const mcp = connect(await newClientKey());
  const tls = connect(tlsKey);
  const bare = connect(undefined);
  const assertion: ExchangeStage['assertion'] = (claims = {}, { alg = 'ES256', key } = {}) => {
    const id = typeof claims['iss'] === 'string' ? claims['iss'] : 'mcp';
    const now = Math.floor(Date.now() / 1000);
    const good = { iss: id, sub: id, aud: instance.urls.web, jti: randomUUID(), iat: now, exp: now + 60 };
    const signer = key ?? keys.get(id);
    if (signer === undefined) throw new Error(`no key of ${id}`);
    return new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg }).sign(signer);
  };
  const form = (subject_token: string, more: Form): Form => ({
    grant_type: EXCHANGE,
    subject_token,
    subject_token_type: ACCESS_TOKEN,
    ...more,
  });
  return {
    instance,
    get server() {
      return server;
    },
    user,
    mcp,
    tls,
    bare,
    published: host,
    async keyOf(id) {
      const key = keys.get(id);
      if (key === undefined) throw new Error(`no key of ${id}`);
      return key;
    },
    async subject(name, resource = RESOURCE) {
      const { callback, verifier } = await user.authorize(name, { extra: { resource } });
      const answer = await user.redeem(callback.searchParams.get('code') ?? '', verifier, { resource });
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
      return String(answer.body['access_token']);
    },
    assertion,
    async exchange(subject, more = {}, { id = 'mcp', from = mcp } = {}) {
      const auth = {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await assertion({ iss: id }),
      };
      return from.post('/-/oauth/token', form(subject, { ...auth, ...more }));
    },
    exchangeByTls: (subject, more = {}, from = tls) =>
      from.post('/-/oauth/token', form(subject, { client_id: 'mcp-tls', ...more })),
    async events(name) {
      await server.audit.flush();
      return (await auditedBy(instance)).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);
    },
    async restart() {
      await server.stop();
      server = await start();
    },
    async stop() {
      for (const each of clients) await each.close();
      await server.stop();
      await instance.stop();
      await host.close();
      await redis?.stop();
    },
  };
}
