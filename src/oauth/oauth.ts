/**
 * OAuth: inward, our own authorization server for the plugin (and later devices and CI), on oidc-provider.
 *
 * Owns: authorize, token, revocation and discovery endpoints; what an access token says; the re-check of a person at each refresh.
 * Must not know: pages (room `web` shows them), how people sign in at their provider, Kubernetes, or Redis.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** An authorization request that waits for its person to sign in. */
export interface PendingAuthorization {
  /** Interaction id; also in the path `/login/:uid`. */
  readonly uid: string;
  readonly clientId: string;
  readonly clientName: string;
  /** What the request asked for with `provider=NAME`; not yet checked. */
  readonly providerHint?: string;
}

/** The one seam between our authorization server and the sign-in pages; main.ts hands it to `web`. */
export interface Authorizations {
  /** Throws `AppError` `sign_in_expired` when unknown, too old, or without the cookie of the browser that began it. */
  pending(req: IncomingMessage, res: ServerResponse): Promise<PendingAuthorization>;
  /** The person has signed in and the session is open: grants and redirects back to the client. */
  grant(
    req: IncomingMessage,
    res: ServerResponse,
    session: { readonly id: string; readonly account: string },
  ): Promise<void>;
  /** Sends the client an RFC 6749 §4.1.2.1 error. */
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: { readonly error: string; readonly description: string },
  ): Promise<void>;
}

export interface AuthorizationServer {
  readonly authorizations: Authorizations;
  /** `/oauth/…` and `/.well-known/…` on the web listener. */
  handleWeb(req: IncomingMessage, res: ServerResponse): void;
  /** `/-/oauth/…` on the api listener, where the client certificate is seen. */
  handleApi(req: IncomingMessage, res: ServerResponse): void;
}
