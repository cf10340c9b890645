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
 *
 * - Sign-in: `oidc.ts` (of every OpenID provider), `discovery.ts`, `kept-response.ts`, `client-authentication.ts`,
 *   `fresh-sign-in.ts`, `auth-time.ts`, `form-encoding.ts`, `vendors/` (their differences, groups), `github/`.
 * - Refresh: `refresh.ts` (when a failure ends a session), `refresh-observer.ts`, `unstored-tokens.ts`,
 *   `malformed-claims.ts` (at a re-check).
 * - Sign-out: `logout.ts`, `logout-token.ts`.
 * - Errors and clocks: `errors.ts`, `failed-check.ts` (which check of a response failed), `provider-response.ts`,
 *   `provider-clock.ts`, `availability.ts`, `provider-health.ts`.
 * - Requests: `outbound.ts` (where they may go; `egress` takes them there), `step-limit.ts`, `issuer-keys.ts`,
 *   `client-keys.ts` (of registered clients of ours).
 * - `probe/`: `portcullis config probe`.
 */
export type * from './types.ts';
