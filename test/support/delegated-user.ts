/** Delegated sessions at the data plane, without the server that opens them in production. */
import { randomUUID } from 'node:crypto';
import type { Delegation } from '../../src/core/delegation/delegation.ts';
import { mint, thumbprintOf, type TestPlane, type TestUser } from './data-plane.ts';
import { makeCertificate } from './upstream.ts';

/** Opens a delegated session beneath one, and mints its first token. */
export async function delegateTo(
  plane: TestPlane,
  parent: TestUser,
  actor: string,
  { sourceCidrs, limits = [] }: Partial<Pick<Delegation, 'limits' | 'sourceCidrs'>>,
): Promise<TestUser> {
  const certificate = await makeCertificate('agent.test');
  const thumbprint = thumbprintOf(certificate.cert);
  const { id: above, version: _version, lastUsedAt: _used, checkedAt: _checked, ...record } = parent.session;
  const id = randomUUID();
  const own = parent.session.delegation;
  const delegation: Delegation = {
    ancestors: [...(own?.ancestors ?? []), above],
    actors: [...(own?.actors ?? []), { name: actor }],
    clusters: ['prod'],
    limits: [...(own?.limits ?? []), ...limits],
    ...(sourceCidrs === undefined ? {} : { sourceCidrs }),
  };
  const opened = await plane.store.sessions.open(
    { ...record, id, thumbprint, delegation },
    {},
    { mostDelegations: 20 },
  );
  if (!opened.ok) throw new Error(opened.reason);
  return mint(plane, { id, certificate, thumbprint });
}
