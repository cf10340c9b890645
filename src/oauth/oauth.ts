/**
 * OAuth: inward, our own authorization server for the plugin (and later devices and CI), on oidc-provider.
 *
 * Owns: authorize, token, revocation and discovery endpoints; what an access token says; the re-check of a person at each refresh.
 * Must not know: pages (room `web` shows them), how people sign in at their provider, Kubernetes, or Redis.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authorizations, DeviceRequests } from '../contracts/authorization.ts';

export interface AuthorizationServer {
  readonly authorizations: Authorizations;
  readonly devices: DeviceRequests;
  /** `/oauth/…` and `/.well-known/…` on the web listener. @param address where the client is, as that listener knows it */
  handleWeb(req: IncomingMessage, res: ServerResponse, address: string): void;
  /** `/-/oauth/…` on the api listener, where the client certificate is seen. */
  handleApi(req: IncomingMessage, res: ServerResponse): void;
}
