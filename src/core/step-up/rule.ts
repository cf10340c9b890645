/** Requests that need a recent proof at the provider (`stepUp`; docs/decisions/0047-step-up.md). */
import type { RightsRule } from '../delegation/rights.ts';

/** One of `stepUp`. What matches several needs each of them. */
export interface StepUpRule {
  /** Names of clusters. Absent: all. */
  readonly clusters?: readonly string[];
  /**
   * In RBAC's grammar, by effective verb. Here a rule takes a right away until the user has proven themselves, so where it is
   * not certain whether a request is one of these, it is.
   */
  readonly rules: readonly RightsRule[];
  /** Seconds since the user's last proof. */
  readonly maxAge: number;
}
