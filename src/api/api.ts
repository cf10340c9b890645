/**
 * The APIs for programs, and the admin API that the admin pages use too.
 *
 * Owns: paths and methods, the shapes of requests and responses, the steps of a call, live views, and the OpenAPI document.
 * Must not know: who may do what and what follows from it (`services`), pages and cookies (module `web`), or Redis.
 */
export { accessApi } from './access-api.ts';
export { createAdminApi } from './admin/admin-api.ts';
export { bearerCaller } from './admin/admin-callers.ts';
export { delegationsApi } from './delegations-api.ts';
export type { AdminApiDeps } from './dependencies.ts';
export type { IdentifyCaller } from './pipeline.ts';
export { sessionsApi } from './sessions-api.ts';
export { stepUpApi } from './step-up-api.ts';
