/**
 * Clients whose tokens need no key: third-party ones such as kubelogin (`sessions.publicClients`), each for one
 * cluster or for one client of `delegation.clients`, and the plugin itself where `sessions.binding` is off.
 *
 * An attacker who copies such a token can use it. So a third-party client reaches one audience and never the admin
 * API, its refresh tokens rotate, and a session with a binding gives it nothing (the store's mint rejects it).
 */
import type { ClientMetadata } from 'oidc-provider';
import { clusterAudience, PLUGIN_CLIENT_ID } from '../core/core.ts';
import type { Config } from '../config/config.ts';
import type { MetadataClients } from './delegation/client-metadata.ts';
import { DEVICE_CODE_GRANT } from './token-facts.ts';

type Sessions = Pick<Config['sessions'], 'binding' | 'deviceCode' | 'publicClients'>;

export interface PublicClients {
  /** Client metadata for oidc-provider. */
  readonly metadata: readonly ClientMetadata[];
  /** Returns the one audience that this client's tokens may be for; undefined for a client that is no third party. */
  soleAudience(clientId: string | undefined): string | undefined;
  /** Returns the audiences that this client's tokens may be for; undefined: all. Of a third party these are few. */
  audiencesOf(clientId: string): readonly string[] | undefined;
  /** Returns whether no one has registered this client: its id is the URL of its metadata. */
  isUnregistered(clientId: string): boolean;
}

/**
 * @param metadata clients by their metadata documents; undefined: there are none
 * @param resources those of `delegation.clients`
 */
export function publicClients(
  sessions: Sessions,
  metadata?: Pick<MetadataClients, 'isId'>,
  resources: readonly string[] = [],
): PublicClients {
  const audiences = new Map(
    sessions.publicClients.map(({ id, cluster, resource = '' }) => [
      id,
      cluster === undefined ? resource : clusterAudience(cluster),
    ]),
  );
  const isUnregistered = (clientId: string): boolean => metadata?.isId(clientId) === true;
  return {
    metadata: sessions.publicClients.map(({ id, name, redirectUris }) => ({
      client_id: id,
      client_name: name,
      // RFC 8252 §7.3: a native client may listen on any port of its loopback host.
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: [...redirectUris],
      grant_types: [
        'authorization_code',
        'refresh_token',
        ...(sessions.deviceCode === 'off' ? [] : [DEVICE_CODE_GRANT]),
      ],
      response_types: ['code'],
      tls_client_certificate_bound_access_tokens: false,
    })),
    soleAudience: (clientId) => (clientId === undefined ? undefined : audiences.get(clientId)),
    audiencesOf(clientId) {
      const sole = audiences.get(clientId);
      if (sole !== undefined) return [sole];
      return isUnregistered(clientId) ? resources : undefined;
    },
    isUnregistered,
  };
}

/** Names of third-party clients by `client_id`, as their users know them. */
export const thirdPartyNames = ({ publicClients: clients }: Pick<Sessions, 'publicClients'>): Map<string, string> =>
  new Map(clients.map(({ id, name }) => [id, name]));

/** `client_id`s whose access tokens carry no binding; the tokens of every other client must. */
export function unboundClientIds(sessions: Pick<Sessions, 'binding' | 'publicClients'>): readonly string[] {
  const thirdParties = sessions.publicClients.map(({ id }) => id);
  return sessions.binding === 'off' ? [...thirdParties, PLUGIN_CLIENT_ID] : thirdParties;
}
