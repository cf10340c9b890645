/**
 * Proxy: the data plane. Every Kubernetes request walks through here, in one order: find cluster, normalise, register,
 * authenticate, check, build headers, forward.
 *
 * Owns: the api listener, authentication of a request, the connection pools to the clusters, upgrades, and the words of Kubernetes
 * Status errors. Must not know: Express, cookies, sign-in, OAuth, Redis, or how a revocation is proven. It parses no
 * Kubernetes body but the Status of a 403, which may be about the proxy's own account (proxy-account.ts).
 */
export { createAuthenticator } from './admission/authenticate.ts';
export type { Authenticate } from './dependencies.ts';
export { clusterLook } from './upstream/cluster-health.ts';
export { takePartInDrills } from './drill/drill.ts';
export type { ApiListenerDeps, ProxyTiming, UpstreamCluster } from './dependencies.ts';
export { shareHandshakes } from './listener/handshakes.ts';
export { createApiListener } from './listener/listener.ts';
export type { ApiListener } from './listener/listener.ts';
