/**
 * OAuth: our own authorization server, for the plugin, devices and CI, on oidc-provider.
 *
 * Owns: authorize, token, revocation and discovery endpoints; the claims of an access token; the re-check of a
 * user at each refresh. Must not know: pages (the module `web` shows them), how users sign in at their provider,
 * Kubernetes, or Redis.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authorizations, DeviceRequests, GrantDelegation } from '../contracts/authorization.ts';

export interface AuthorizationServer {
  readonly authorizations: Authorizations;
  readonly devices: DeviceRequests;
  readonly delegate: GrantDelegation;
  /**
   * Handles `/oauth/…` and `/.well-known/…` on the web listener. @param address the client's, as that listener
   * knows it
   */
  handleWeb(req: IncomingMessage, res: ServerResponse, address: string): void;
  /** Handles `/-/oauth/…` on the api listener, where the client certificate is visible. */
  handleApi(req: IncomingMessage, res: ServerResponse): void;
}
