/**
 * Proxy: the data plane. Every Kubernetes request goes through here, in one order: find the cluster, normalise,
 * register, authenticate, check, build headers, forward.
 *
 * Owns: the api listener, the authentication of a request, the connection pools to the clusters, upgrades, and the
 * messages of Kubernetes Status errors. Must not know: Express, cookies, sign-in, OAuth, Redis, or how a revocation
 * is proven. It parses no Kubernetes body except the Status of a 403, which may be about the proxy's own account.
 */
export { createAuthenticator } from './admission/authenticate.ts';
export type { GrantSettings } from './admission/granted.ts';
export type { Authenticate, Authentication } from './dependencies.ts';
export { ClientDelay } from './upstream/client-delay.ts';
export { createClusterProbe } from './upstream/cluster-health.ts';
export { takePartInDrills } from './drill/drill.ts';
export type { ApiListenerDeps, ProxyTiming, StepUpSettings, UpstreamCluster } from './dependencies.ts';
export { closedReporter, ConnectionLimit } from './listener/connection-limit.ts';
export { LingeringClose } from './listener/lingering-close.ts';
export { memoryInUse } from './listener/memory.ts';
export { endpointsOf, ProcNetTcp, type SystemBuffers } from './listener/system-buffers.ts';
export { CONNECTION_BYTES } from './listener/tcp-connection.ts';
export type { Occupant } from './listener/connection-limit.ts';
export { shareHandshakes } from './listener/handshakes.ts';
export { limitPipelining, noteEachPiece } from './listener/pipelining.ts';
export { SharedReading } from './listener/shared-reading.ts';
export { createApiListener } from './listener/listener.ts';
export type { ApiListener } from './listener/listener.ts';
