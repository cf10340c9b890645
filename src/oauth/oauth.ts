/**
 * OAuth: inward, our own authorization server for the plugin (and later devices and CI), on oidc-provider.
 *
 * Owns: authorize, token, revocation and discovery endpoints; what an access token says; the re-check of a person at each refresh.
 * Must not know: pages (room `web` shows them), how people sign in at their provider, Kubernetes, or Redis.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authorizations, DeviceRequests } from '../contracts/authorization.ts';

/** What a person's browser is to be shown instead of an answer. */
export interface AuthorizationFault {
  readonly requestId: string;
  /** What the request did wrong, in words of ours or of oidc-provider, which may quote it; or what went wrong here. */
  readonly cause: { readonly detail: string } | { readonly thrown: unknown };
  /** Path and query of the same request, where it may be made once more. */
  readonly again?: string;
}

export interface AuthorizationServer {
  readonly authorizations: Authorizations;
  readonly devices: DeviceRequests;
  /** `/oauth/…` and `/.well-known/…` on the web listener. @param address where the client is, as that listener knows it */
  handleWeb(req: IncomingMessage, res: ServerResponse, address: string): void;
  /** `/-/oauth/…` on the api listener, where the client certificate is seen. */
  handleApi(req: IncomingMessage, res: ServerResponse): void;
}
