import { randomUUID } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { PLUGIN_CLIENT_ID } from '../../src/core/core.ts';
import type { SessionRecord } from '../../src/store/store.ts';

interface TokenClaims {
  readonly record: SessionRecord;
  /** Of the client certificate that the token is bound to. */
  readonly thumbprint: string;
  /** In the revocation log, when the token was minted. */
  readonly position: { readonly epoch: string; readonly number: number };
  readonly issuer: string;
  readonly audience: string;
  readonly lifeSeconds: number;
}

/** Returns the claims of a token of the command line, as the token endpoint mints them. */
export function tokenClaims({ record, thumbprint, position, issuer, audience, lifeSeconds }: TokenClaims): JWTPayload {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    sub: record.account,
    aud: audience,
    iat: now,
    exp: now + lifeSeconds,
    jti: randomUUID(),
    client_id: PLUGIN_CLIENT_ID,
    sid: record.id,
    ep: position.epoch,
    ln: position.number,
    cnf: { 'x5t#S256': thumbprint },
    ...delegationClaims(record),
  };
}

function delegationClaims({ delegation }: SessionRecord): JWTPayload {
  if (delegation === undefined) return {};
  const act = delegation.actors.reduce((before, { name }) => ({ sub: name, act: before }), {});
  return { psid: delegation.ancestors, act };
}
