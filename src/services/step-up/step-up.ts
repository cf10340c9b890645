/**
 * Step-up: a user authenticates again at the provider for a session that goes on (docs/decisions/0047-step-up.md).
 *
 * Owns: step-ups under way, who may begin and finish one, and the audit events of that. Must not know: pages and cookies
 * (module `web`), paths and methods (`api`), how a provider is asked, which requests need a proof (`core`, `proxy`), or Redis.
 */
export { createStepUps, POLL_SECONDS, type Challenges, type StepUpState } from './challenges.ts';
export type { StepUpDeps, StepUpOutcome } from './dependencies.ts';
export type { PendingStepUp, StepUpProof, StepUps } from './step-ups.ts';
