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
  /** The client asks for a sign-in that proves anew who the person is (`prompt=login`, or `max_age=0`). */
  readonly fresh?: true;
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

/** A device that waits for its code to be typed (RFC 8628), as it said itself who it is. */
export interface DeviceRequest {
  readonly clientId: string;
  readonly clientName: string;
  /** Of the device's socket. */
  readonly address: string;
  readonly userAgent: string;
  /** Names of the clusters that it asks for; absent: all that the person may use. */
  readonly audiences?: readonly string[];
}

/** The seam to the device page. Each throws `AppError` `sign_in_expired` for a code that is unknown, expired or decided about. */
export interface DeviceRequests {
  find(userCode: string): Promise<DeviceRequest>;
  /** The person has signed in and the session is open: the device gets its tokens with its next question. Of racing callers one wins. */
  allow(userCode: string, session: { readonly id: string; readonly account: string }): Promise<void>;
  /** The device is told `access_denied` with its next question. @param description default: that it was refused in the browser */
  refuse(userCode: string, description?: string): Promise<void>;
}

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
