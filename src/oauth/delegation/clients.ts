/** The clients of `delegation.clients`, as the authorization server knows them. */
import type { Adapter, ClientMetadata } from 'oidc-provider';
import type { Config, DelegationClientConfig } from '../../config/config.ts';
import type { ClientKeyJwk } from '../../core/credential/client-keys.ts';
import { TOKEN_EXCHANGE } from '../grant-type.ts';

export interface DelegationClient {
  readonly config: DelegationClientConfig;
  /**
   * Its keys now: they are rotated while the server runs.
   * @throws AppError `provider_unavailable`
   */
  readonly keys: () => Promise<readonly ClientKeyJwk[]> | readonly ClientKeyJwk[];
}

export interface DelegationClients {
  config(clientId: string | undefined): DelegationClientConfig | undefined;
  /**
   * How oidc-provider finds a client: it is asked at each request, and keeps what it has made for the same metadata. So
   * a key that is no longer in the set verifies nothing from then on. The library's own `jwks_uri` would go on to
   * accept it until another key is needed.
   */
  readonly adapter: Adapter;
}

export function delegationClients(clients: readonly DelegationClient[]): DelegationClients {
  const byId = new Map(clients.map((client) => [client.config.id, client]));
  return {
    config: (clientId) => byId.get(clientId ?? '')?.config,
    adapter: {
      find: async (id) => {
        const client = byId.get(id);
        return client === undefined ? undefined : metadataOf(client.config, await client.keys());
      },
      findByUid: async () => undefined,
      findByUserCode: async () => undefined,
      upsert: async () => {},
      consume: async () => {},
      destroy: async () => {},
      revokeByGrantId: async () => {},
    },
  };
}

const metadataOf = (config: DelegationClientConfig, keys: readonly ClientKeyJwk[]): ClientMetadata => ({
  client_id: config.id,
  client_name: config.id,
  token_endpoint_auth_method: methodOf(config),
  jwks: { keys: [...keys] },
  redirect_uris: [],
  grant_types: [TOKEN_EXCHANGE],
  response_types: [],
  tls_client_certificate_bound_access_tokens: config.binding === 'certificate',
});

/** Returns the methods of RFC 8414 `token_endpoint_auth_methods_supported`: `none`, and those that a client has. */
export function clientAuthMethods(clients: Config['delegation']['clients']): ('none' | AuthMethod)[] {
  return ['none', ...new Set(clients.map((client) => methodOf(client)))];
}

type AuthMethod = 'private_key_jwt' | 'self_signed_tls_client_auth';

const methodOf = ({ certFile }: DelegationClientConfig): AuthMethod =>
  certFile === undefined ? 'private_key_jwt' : 'self_signed_tls_client_auth';

/** `client_id`s whose access tokens carry no binding. */
export const unboundDelegationClients = ({ clients }: Pick<Config['delegation'], 'clients'>): readonly string[] =>
  clients.filter(({ binding }) => binding === 'none').map(({ id }) => id);
