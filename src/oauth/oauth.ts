/**
 * OAuth: our own authorization server, for the plugin, devices and CI, on oidc-provider.
 *
 * Owns: authorize, token, revocation and discovery endpoints; the claims of an access token; the re-check of a
 * user at each refresh. Must not know: pages (the module `web` shows them), how users sign in at their provider,
 * Kubernetes, or Redis.
 *
 * - Server: `server.ts` (put together), `settings.ts` (of oidc-provider), `discovery.ts`, `rotating-keys.ts`,
 *   `form-parsing.ts`, `parameter-limits.ts`, `device-name.ts`, `artefact-adapter.ts` (storage), `client-address.ts`.
 * - Interfaces to the pages: `authorizations.ts`, `device-requests.ts`. To delegated sessions: `delegated-grants.ts`.
 * - Minting: `mint.ts` (the decision), `claim-minter.ts` (its place in oidc-provider), `audiences.ts`,
 *   `console-token.ts`, `public-clients.ts`, `refresh-rotation.ts`, `device-grant.ts`, `token-exchange.ts` with `workload/`
 *   and `delegation/` (registered clients, clients by their metadata documents).
 * - Responses and audit: `token-response.ts`, `token-facts.ts`, `audit-events.ts`.
 * - Re-checks: `recheck.ts`, `recheck-outcome.ts`, `stream-recheck.ts` (open streams), `browser-recheck.ts` (browsers'
 *   sessions), `provider-circuit-breaker.ts`.
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
