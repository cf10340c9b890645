/** Names of RFC 8693 and our own ones that the token endpoint and the audit log both need. */

/** RFC 8693 §2.1. */
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** RFC 8693 §3. */
export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/** `client_id` of every workload: a public client whose tokens are bound to the caller's certificate, and which has this grant only. */
export const WORKLOAD_CLIENT = 'workload';
