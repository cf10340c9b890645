/** Our members of the discovery document, in addition to oidc-provider's metadata (RFC 8414 §2 allows them). */
import type { Config } from '../config/config.ts';
import { RIGHTS_DETAIL } from './delegation/authorization-details.ts';
import { deviceAuthorizationEndpoint } from './device-grant.ts';
import { defined } from '../core/defined.ts';

/** The oldest plugin that this server still works with; an older one tells its user how to upgrade. */
const MINIMUM_CLI = '0.1.0';

/**
 * @param apiCa PEM that a client should trust at the api listener; undefined: the system's roots
 */
export function discoveryDocument(
  config: Pick<Config, 'listen' | 'sessions' | 'delegation'>,
  apiCa: string | undefined,
): Record<string, unknown> {
  const api = config.listen.api.publicUrl;
  return {
    // RFC 8705 §5: the library does not write this one itself.
    mtls_endpoint_aliases: {
      token_endpoint: `${api}/-/oauth/token`,
      revocation_endpoint: `${api}/-/oauth/revoke`,
      ...(config.sessions.deviceCode === 'off'
        ? {}
        : { device_authorization_endpoint: deviceAuthorizationEndpoint(config) }),
    },
    // RFC 9396 §10. The library writes it only where authorization requests have such details, too.
    ...(config.delegation.clients.length === 0 ? {} : { authorization_details_types_supported: [RIGHTS_DETAIL] }),
    portcullis: {
      minimumCli: MINIMUM_CLI,
      api,
      adminApi: `${api}/-/admin/api/v1`,
      ...defined({ apiCa }),
    },
  };
}
