/**
 * Identity providers: outward, to where users sign in.
 *
 * Owns: the OpenID Connect client (discovery, PKCE, state, nonce, RFC 9207 `iss`), how we authenticate at its
 * token endpoint, what each vendor does differently, GitHub's OAuth and API, the directories that know groups
 * (Microsoft Graph, Google's), the end of sessions there in both directions, the public keys of workloads'
 * issuers, where our requests may go at all, and from a provider's claims to an identity by core's mapping. Must
 * not know: our own tokens and OAuth endpoints, pages, sessions or Kubernetes.
 *
 * Everything that a provider sends is hostile until verified. There are two outcomes only: `AppError`
 * `sign_in_refused` (the provider or a rule rejects the user; `reason` names the rule) and `provider_unavailable`
 * (down, invalid response, unknown key). Nothing is half-created by either.
 */
export type * from './types.ts';
