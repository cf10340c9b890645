import type { JWTPayload } from 'jose';
import type { SessionRecord } from '../../src/store/store.ts';

/** As the token endpoint mints them. */
export function delegationClaims({ delegation }: SessionRecord): JWTPayload {
  if (delegation === undefined) return {};
  const act = delegation.actors.reduce((before, { name }) => ({ sub: name, act: before }), {});
  return { psid: delegation.ancestors, act };
}
