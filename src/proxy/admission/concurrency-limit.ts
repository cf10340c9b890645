/**
 * How much may be in flight at once: for one person, so that nobody's runaway script takes the gate from the others, and at one cluster, so
 * that one that hangs cannot hold every connection there is. Counted from the tick in which the person is known until both sides are closed;
 * a watch counts as any request does.
 */
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';

/** Where `limits.inFlightPerPerson` says nothing else. */
const IN_FLIGHT_PER_PERSON = 400;

/** A fifth of `limits.connections` stays for the other clusters, and for sign-in and revocation, when one hangs. */
const SHARE_OF_A_CLUSTER = 0.8;

export const perPersonOf = (limits: { readonly inFlightPerPerson?: number }): number =>
  limits.inFlightPerPerson ?? IN_FLIGHT_PER_PERSON;

export class InFlight {
  readonly perPerson: number;
  readonly perCluster: number;
  readonly #people = new Map<string, number>();
  readonly #clusters = new Map<string, number>();

  constructor(limits: { readonly connections: number; readonly inFlightPerPerson?: number }) {
    this.perPerson = perPersonOf(limits);
    this.perCluster = Math.max(1, Math.floor(limits.connections * SHARE_OF_A_CLUSTER));
  }

  /**
   * Takes a place.
   * @param person an account, not a session: more sign-ins give no more places
   * @returns what gives it back, or which limit is reached; calling it again does nothing
   */
  enter(person: string, cluster: string): Result<() => void, 'person' | 'cluster'> {
    if ((this.#people.get(person) ?? 0) >= this.perPerson) return no('person');
    if ((this.#clusters.get(cluster) ?? 0) >= this.perCluster) return no('cluster');
    add(this.#people, person, 1);
    add(this.#clusters, cluster, 1);
    let held = true;
    return ok(() => {
      if (!held) return;
      held = false;
      add(this.#people, person, -1);
      add(this.#clusters, cluster, -1);
    });
  }
}

/** A count of nothing is not kept: the map is as large as what is in flight. */
function add(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
