/** Delegated sessions in the harness' store. */
import type { DelegatedActor, Delegation } from '../../../src/core/delegation/delegation.ts';
import type { Stage } from './harness.ts';

/** Opens a delegated session beneath another one: by default read-only in the namespace shop, for `claude`, in staging. */
export async function openDelegated(
  { store, clock }: Stage,
  id: string,
  parentId: string,
  {
    actor = { name: 'claude' },
    limits = [{ preset: 'read-only', namespaces: ['shop'] }],
    ...change
  }: Partial<Delegation> & { readonly actor?: DelegatedActor } = {},
): Promise<void> {
  const parent = await store.sessions.read(parentId);
  if (parent === undefined) throw new Error(`there is no session ${parentId}`);
  const { authTime: _signedIn, providerSid: _there, ...above } = parent;
  const delegation = {
    ancestors: [...(above.delegation?.ancestors ?? []), parentId],
    actors: [...(above.delegation?.actors ?? []), actor],
    clusters: ['staging'],
    limits: [...(above.delegation?.limits ?? []), ...limits],
    ...change,
  };
  const createdAt = Math.floor(clock.nowMs() / 1000);
  const opened = await store.sessions.open({ ...above, id, createdAt, delegation }, {}, { mostDelegations: 100 });
  if (!opened.ok) throw new Error(`the session was refused: ${opened.reason}`);
}
