/**
 * Grants that the store does not have any more, although no one has written their end: a new epoch has forgotten them, or an
 * attacker who can write to Redis has removed or changed what is stored. The first has ended with its session. The second
 * could not be ended early any more, because no one finds its request. Neither would be in the audit log.
 */
import type { AccessRequest } from '../../core/access/request.ts';
import type { AccessStore, ActiveGrant, SessionStore } from '../../store/store.ts';

export interface LostGrant {
  readonly request: AccessRequest;
  readonly ending: 'session' | 'lost';
}

export class LostGrants {
  /** Those that this replica has seen: as many as there may be at a time. */
  readonly #seen = new Map<string, AccessRequest>();

  /** @param active all that the store has now. @returns those that it had before, and does not have at all any more */
  async find(
    active: readonly ActiveGrant[],
    store: { readonly access: Pick<AccessStore, 'find'>; readonly sessions: Pick<SessionStore, 'read'> },
  ): Promise<readonly LostGrant[]> {
    for (const { stored } of active) this.#seen.set(stored.request.id, stored.request);
    const there = new Set(active.map(({ stored }) => stored.request.id));
    const lost: LostGrant[] = [];
    for (const [id, request] of this.#seen) {
      if (there.has(id)) continue;
      // Where the store does not respond it stays among those seen.
      if ((await store.access.find(id)) === undefined) {
        const session = await store.sessions.read(request.session);
        lost.push({ request, ending: session === undefined ? 'session' : 'lost' });
      }
      this.#seen.delete(id);
    }
    return lost;
  }

  /** Keeps it in mind: its end could not be written. */
  again(request: AccessRequest): void {
    this.#seen.set(request.id, request);
  }
}
