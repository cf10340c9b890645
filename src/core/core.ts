/**
 * Core: the decisions of the gate, as plain data in and plain data out.
 *
 * Owns: claims -> identity, URL -> request info, identity -> impersonation headers, whether a credential is still good,
 * and the shape of an audit event. Must not know: any other room, files, sockets, Redis, HTTP status codes, the clock
 * (`now` is an argument) or chance. What is decided here can be read, tabled and property-tested without starting anything.
 *
 * This file holds the names that several rooms spell alike.
 */

/** Audience of an access token for one cluster (RFC 8707 resource indicator). */
export const clusterAudience = (cluster: string): string => `urn:portcullis:cluster:${cluster}`;

/** Audience of an access token for the admin API. */
export const ADMIN_AUDIENCE = 'urn:portcullis:admin';

/** In `roles` (RFC 9068 §2.2.3.1) of an admin's token for the admin API. */
export const ADMIN_ROLE = 'admin';

/** `client_id` of the exec credential plugin: a public client whose tokens are bound to its certificate (RFC 8705). */
export const PLUGIN_CLIENT_ID = 'portcullis-cli';

/** `client_id` of the tokens that a web console receives. No OAuth client: the colon is in none of theirs. */
export const consoleClient = (console: string): string => `console:${console}`;

/** `client_id` of the tokens with which a replica watches through itself in a drill; they never leave the process. No OAuth client either. */
export const DRILL_CLIENT_ID = 'drill:watch';

/** `client` of a session that belongs to a browser at the web listener; never an OAuth client. */
export const BROWSER_CLIENT = 'browser';

/**
 * Keys of the `extra` map that this gate sets itself. Kubernetes lower-cases extra keys, so they are written that way.
 * A provider's mapping or a client may never set a key under this domain.
 */
export const EXTRA_DOMAIN = 'portcullis.dev';
export const EXTRA_SESSION = 'portcullis.dev/session';
/** Who it really is, where a person acts as somebody else. */
export const EXTRA_ORIGINAL_USER = 'portcullis.dev/original-user';
/** Every key of ours; the gate's account needs the right to set each (`userextras/KEY`). */
export const OWN_EXTRA_KEYS: readonly string[] = [EXTRA_SESSION, EXTRA_ORIGINAL_USER];
