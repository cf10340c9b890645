/** What the authorization server (`oauth`) offers to the sign-in pages (`web`); `server` connects the two. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** An authorization request that waits until its user has signed in. */
export interface PendingAuthorization {
  /** Interaction id; also in the path `/login/:uid`. */
  readonly uid: string;
  readonly clientId: string;
  readonly clientName: string;
  /** The request's `provider=NAME`; not yet checked. */
  readonly providerHint?: string;
  /** The client asks for a fresh sign-in (`prompt=login`, or `max_age=0`). */
  readonly fresh?: true;
  /** The name that the program gives its device; anyone may choose it. */
  readonly deviceName?: string;
  /** Present if no one has registered the client: its user has to confirm it first. */
  readonly unregistered?: {
    /** Of the URL that is its id. */
    readonly host: string;
    /** Where the browser is sent back to. */
    readonly redirectHost: string;
    /** The program for which it gets tokens. */
    readonly resource: string;
  };
}

export interface Authorizations {
  /** @throws AppError `sign_in_expired` where it is unknown, too old, or comes without the cookie of the browser that began it */
  pending(req: IncomingMessage, res: ServerResponse): Promise<PendingAuthorization>;
  /** Grants the request and redirects to the client. The user has signed in and the session is open. */
  grant(
    req: IncomingMessage,
    res: ServerResponse,
    session: { readonly id: string; readonly account: string },
  ): Promise<void>;
  /** Redirects to the client with an error (RFC 6749 §4.1.2.1). */
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: { readonly error: string; readonly description: string },
  ): Promise<void>;
}

/** A device that waits until its code is entered (RFC 8628). The device itself has sent all of this. */
export interface DeviceRequest {
  readonly clientId: string;
  readonly clientName: string;
  /** Of the device's socket. */
  readonly address: string;
  readonly userAgent: string;
  /** The name that the program gives it; anyone may choose it. */
  readonly deviceName?: string;
  /** Names of the requested clusters; absent: all that the user may use. */
  readonly audiences?: readonly string[];
}

/** Each method throws `AppError` `sign_in_expired` for a code that is unknown, expired or already decided. */
export interface DeviceRequests {
  find(userCode: string): Promise<DeviceRequest>;
  /** Lets the device get its tokens at its next poll. The user has signed in and the session is open. Of concurrent callers one succeeds. */
  allow(userCode: string, session: { readonly id: string; readonly account: string }): Promise<void>;
  /** Lets the device get `access_denied` at its next poll. @param description default: that it was rejected in the browser */
  refuse(userCode: string, description?: string): Promise<void>;
}

/** A delegated session that is open and needs a refresh token. */
export interface DelegationGrant {
  readonly session: { readonly id: string; readonly account: string };
  /** Names of the clusters for which it may have tokens. */
  readonly clusters: readonly string[];
  /** SHA-256 of the client certificate that it is bound to (RFC 8705 §3.1). Absent: to none. */
  readonly thumbprint?: string;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

/**
 * Makes the refresh token of a delegated session, as the plugin has one, which is refreshed like any other.
 * @returns the token, which must not be logged
 * @throws AppError `store_unavailable`
 */
export type GrantDelegation = (grant: DelegationGrant) => Promise<string>;

/** The error of an authorization request that the user's browser shows as a page. */
export interface AuthorizationError {
  readonly requestId: string;
  /** What is wrong with the request, in text that may quote it; or the error that was thrown here. */
  readonly cause: { readonly detail: string } | { readonly thrown: unknown };
  /** Path and query of the same request, where it may be made once more. */
  readonly again?: string;
}
