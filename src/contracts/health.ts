/** The health of clusters and identity providers, which `server` checks and the admin API and pages show. */

/** A cluster or an identity provider, as this replica last checked it. */
export interface ComponentHealth {
  readonly name: string;
  readonly state: 'up' | 'down';
  /** Epoch seconds of the check. */
  readonly checkedAt: number;
  /** Response time. */
  readonly ms?: number;
  /**
   * For `down`: what went wrong. Names no address but that of an outbound proxy, and quotes nothing that was received.
   */
  readonly problem?: string;
}

/** A check runs on demand, costs one request to each component, and is cached for ten seconds. Never rejects. */
export interface Health {
  clusters(): Promise<readonly ComponentHealth[]>;
  providers(): Promise<readonly ComponentHealth[]>;
}
