/**
 * Clients that no one has registered: their `client_id` is the URL of a document with their metadata
 * (draft-ietf-oauth-client-id-metadata-document). Off unless the configuration lists hosts.
 *
 * An attacker makes the server read any URL, and shows the user any name. So only documents of the listed hosts are
 * read, by the same guard as providers' URLs; such a client is public, has PKCE, and gets tokens for the programs of
 * `delegation.clients` alone; and its user confirms it by its host, which is the one thing about it that is verified.
 */
import type { Configuration } from 'oidc-provider';
import type { Config } from '../../config/config.ts';
import { isRedirectUri } from '../../core/http/redirect-uri.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import type { Outbound } from '../../idp/outbound.ts';
import { clientAddress } from '../client-address.ts';

/** It is a session's `client`, and stands in lists and in the audit log. */
const MAX_ID_LENGTH = 256;
const MAX_REDIRECT_URIS = 20;
/** Seconds, whatever the document's own headers say: a client that is taken back is gone within the hour. */
const CACHED_SECONDS = { min: 60, max: 3600 };
const GRANTS: ReadonlySet<string> = new Set(['authorization_code', 'refresh_token']);

export interface MetadataClients {
  /** Returns whether this is the id of such a client. */
  isId(clientId: string): boolean;
  readonly settings: Pick<Configuration, 'fetch'> & {
    readonly feature: NonNullable<NonNullable<Configuration['features']>['clientIdMetadataDocument']>;
  };
}

export interface MetadataClientsDeps {
  readonly hosts: Config['delegation']['clientMetadata']['hosts'];
  /** Reads from one host alone. */
  readonly outboundTo: (host: string) => Outbound;
  /** Counts documents that are read, by the address that asks. */
  readonly limit: RateLimiter;
}

/** @returns undefined where it is off */
export function metadataClients({ hosts, outboundTo, limit }: MetadataClientsDeps): MetadataClients | undefined {
  if (hosts.length === 0) return undefined;
  const outbounds = new Map(hosts.map((host) => [host, outboundTo(host)]));
  const outboundOf = (url: URL): Outbound | undefined => outbounds.get(url.hostname);
  return {
    // However it is spelled: whatever is no id of such a client has the audiences of ours, and no page asks its user.
    isId: (clientId) => URL.parse(clientId)?.protocol === 'https:',
    settings: {
      fetch: async (target, { method = 'GET', headers, signal } = {}) => {
        const url = new URL(typeof target === 'string' || target instanceof URL ? target : target.url);
        // Also whatever a document names, such as `sector_identifier_uri`.
        const outbound = outboundOf(url);
        if (outbound === undefined) throw new Error(`${url.hostname} is not listed in delegation.clientMetadata.hosts`);
        const sent = Object.fromEntries(new Headers(headers));
        return outbound(url.href, { method, headers: sent, signal: signal ?? undefined });
      },
      feature: {
        enabled: true,
        ack: 'draft-02',
        cacheDuration: CACHED_SECONDS,
        allowFetch: (ctx, id) => {
          const url = URL.parse(id);
          // An attacker spells it `HTTPS://`, which the library takes for the same.
          if (url?.href !== id || id.length > MAX_ID_LENGTH) return false;
          if (url.pathname === '/' || outboundOf(url) === undefined) return false;
          return limit.take(clientAddress(ctx.req)) === 0;
        },
        allowClient: (_ctx, client) =>
          client.tokenEndpointAuthMethod === 'none' &&
          (client.grantTypes ?? []).every((grant) => GRANTS.has(grant)) &&
          (client.redirectUris ?? []).length <= MAX_REDIRECT_URIS &&
          (client.redirectUris ?? []).every(isRedirectUri),
      },
    },
  };
}
