/**
 * Step-up: a user authenticates again at the provider for a session that goes on (docs/decisions/0047-step-up.md).
 *
 * Owns: step-ups under way, who may begin and finish one, the API for programs at `/-/step-up`, and its audit events. Must not
 * know: pages and cookies (module `web`, through `contracts`), how a provider is asked, which requests need a proof (`core`,
 * `proxy`), or Redis.
 */
export { stepUpApi } from './api.ts';
export { createStepUps } from './challenges.ts';
export type { StepUpOutcome } from './dependencies.ts';
