/** A server with registered clients that exchange users' tokens, a public client for the resource of one, and two clusters. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { startTestInstance, withParts, type Settings, type TestInstance } from './instance.ts';
import { newClientKey, type OAuthClient, type Answer } from './oauth-client.ts';
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

export interface ExchangeStage extends TestInstance {
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
  /** The private key of one of them. */
  keyOf(id: string): Promise<CryptoKey>;
  /** Documents at an address, by path. */
  readonly published: WorkloadIssuer;
}

export async function startExchangeStage(options: { readonly redis?: true } = {}): Promise<ExchangeStage> {
  const instance = await startTestInstance(options);
  const { api } = instance;
  const host = await startWorkloadIssuer(instance.web);
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
  const file = async (settings: Settings): Promise<Settings> => {
    const [demo] = settings['clusters'] as readonly Settings[];
    const other = { ...demo, name: 'other', hosts: [], publicUrl: `${api}/clusters/other` };
    return {
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
    };
  };
  await instance.restart({ file });
  const tls = await instance.connect({ key: tlsKey });
  const user = await instance.connect();
  const mcp = await instance.connect();
  const bare = await instance.connect({ key: null });
  const assertion: ExchangeStage['assertion'] = (claims = {}, { alg = 'ES256', key } = {}) => {
    const id = typeof claims['iss'] === 'string' ? claims['iss'] : 'mcp';
    const now = Math.floor(Date.now() / 1000);
    const good = { iss: id, sub: id, aud: instance.web, jti: randomUUID(), iat: now, exp: now + 60 };
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
  const parts: Omit<ExchangeStage, keyof TestInstance> = {
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
  };
  return withParts(instance, parts, () => host.close());
}
