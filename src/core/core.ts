/**
 * Core: the decisions of Portcullis, as plain data in and plain data out.
 *
 * Owns: claims -> identity, URL -> request info, identity -> impersonation headers, whether a credential is still
 * valid, and the shape of an audit event. Must not know any other module, files, sockets, Redis, HTTP status
 * codes, the clock (the time is an argument) or random numbers. So every decision can be read, tested by tables
 * and tested by properties without starting anything.
 */

const CLUSTER_AUDIENCE = 'urn:portcullis:cluster:';

/** Audience of an access token for one cluster (RFC 8707 resource indicator). */
export const clusterAudience = (cluster: string): string => `${CLUSTER_AUDIENCE}${cluster}`;

/** Returns the cluster of such an audience; undefined for any other audience. */
export const clusterOf = (audience: string): string | undefined =>
  audience.startsWith(CLUSTER_AUDIENCE) ? audience.slice(CLUSTER_AUDIENCE.length) : undefined;

/** Audience of an access token for the admin API. */
export const ADMIN_AUDIENCE = 'urn:portcullis:admin';

/**
 * Audience of an access token for a user's own sessions: to make delegated sessions, to list and to end them. No
 * cluster and no admin page accepts it.
 */
export const SELF_AUDIENCE = 'urn:portcullis:self';

/** In `roles` (RFC 9068 §2.2.3.1) of an admin's token for the admin API. */
export const ADMIN_ROLE = 'admin';

/** `client_id` of the exec credential plugin: a public client whose tokens are bound to its certificate (RFC 8705). */
export const PLUGIN_CLIENT_ID = 'portcullis-cli';

/** `client_id` of the tokens that a web console receives. It is no OAuth client: their ids contain no colon. */
export const consoleClient = (console: string): string => `console:${console}`;

export const isConsoleClient = (client: string): boolean => client.startsWith(consoleClient(''));

/**
 * `client_id` of the tokens with which a replica watches through itself in a drill; they never leave the process.
 * It is no OAuth client either.
 */
export const DRILL_CLIENT_ID = 'drill:watch';

/** `client` of a session that belongs to a browser at the web listener; never an OAuth client. */
export const BROWSER_CLIENT = 'browser';

/**
 * Keys of the `extra` map that Portcullis sets itself. Kubernetes lower-cases extra keys, so they are written that
 * way. A provider's mapping or a client may never set a key under this domain.
 */
export const EXTRA_DOMAIN = 'portcullis.dev';
export const EXTRA_SESSION = 'portcullis.dev/session';
/** The real user, if they act as another one. */
export const EXTRA_ORIGINAL_USER = 'portcullis.dev/original-user';
/** Of a delegated session: who acts in it, such as `claude` or `claude/reviewer`. */
export const EXTRA_ACTOR = 'portcullis.dev/actor';
/** Of a delegated session: its id. `EXTRA_SESSION` is that of the user's own session then. */
export const EXTRA_DELEGATED_SESSION = 'portcullis.dev/delegated-session';
/** Of a request that is made with groups granted for a while: the id of each grant, as one value. */
export const EXTRA_GRANT = 'portcullis.dev/grant-id';
/** Every key of ours; the proxy's account needs the permission to set each (`userextras/KEY`). */
export const PORTCULLIS_EXTRA_KEYS: readonly string[] = [
  EXTRA_SESSION,
  EXTRA_ORIGINAL_USER,
  EXTRA_ACTOR,
  EXTRA_DELEGATED_SESSION,
  EXTRA_GRANT,
];
