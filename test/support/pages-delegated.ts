/** Delegated sessions for the pages, opened in the store itself: also such as no server of ours would open. */
import type { RunningDemo } from '../../demo/launch.ts';
import type { DelegatedActor, Delegation } from '../../src/core/delegation/delegation.ts';

interface Delegated extends Partial<Delegation> {
  readonly id: string;
  readonly parent: string;
  readonly actor: DelegatedActor;
}

/** Markup, both directions of writing, and no place to break it. */
const HOSTILE_NAME = `"><script>document.title='owned'</script><b title='مرحبا${'w'.repeat(200)}`;

/** As many rules as the limits of one session may have. */
const manyRules = Array.from({ length: 120 }, (_, index) => ({
  verbs: ['get', 'list'],
  apiGroups: [''],
  resources: [`<i>r${index}</i>`],
}));

/** The session of whom every name is hostile and every list long. */
export const HOSTILE_DELEGATED = 'delegated-hostile';

export async function openDelegated(
  { store }: RunningDemo['server'],
  { id, parent: parentId, actor, ...change }: Delegated,
): Promise<void> {
  const parent = await store.sessions.read(parentId);
  if (parent === undefined) throw new Error(`there is no session ${parentId}`);
  const { authTime: _signedIn, deviceName: _device, delegation: above, ...record } = parent;
  const delegation = {
    ancestors: [...(above?.ancestors ?? []), parentId],
    actors: [...(above?.actors ?? []), actor],
    clusters: ['demo'],
    limits: [{ preset: 'read-only', namespaces: ['shop'] } as const],
    ...change,
  };
  const expiresAt = Math.min(record.expiresAt, Math.floor(Date.now() / 1000) + 1800);
  const session = { ...record, id, expiresAt, idleSeconds: 1800, createdAt: Math.floor(Date.now() / 1000), delegation };
  const opened = await store.sessions.open(session, {}, { mostDelegations: 100 });
  if (!opened.ok) throw new Error(`the session was refused: ${opened.reason}`);
}

/** Opens two of a user's for an agent, one beneath the other, and a hostile one. */
export async function openAgents(server: RunningDemo['server'], parent: string): Promise<void> {
  await openDelegated(server, { id: 'delegated-claude', parent, actor: { name: 'claude' } });
  await openDelegated(server, {
    id: 'delegated-reviewer',
    parent: 'delegated-claude',
    actor: { name: 'reviewer', registered: true },
    sourceCidrs: ['10.0.0.0/8', '2001:db8::/32'],
    limits: [
      { preset: 'read-only', namespaces: ['shop'] },
      { rules: [{ verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'] }] },
    ],
  });
  await openDelegated(server, {
    id: HOSTILE_DELEGATED,
    parent,
    actor: { name: HOSTILE_NAME },
    clusters: Array.from({ length: 40 }, (_, index) => `<u>cluster-${index}</u>`),
    limits: [{ namespaces: ['n'.repeat(253)], rules: manyRules }],
  });
}
