/** Accounts that hold something open: sessions in the store, and tokens as the token endpoint gives them. */
import { X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importJWK, SignJWT, type JWK } from 'jose';
import type { RunningDemo } from '../../../demo/launch.ts';
import { PLUGIN_CLIENT_ID } from '../../../src/core/core.ts';
import { certificateThumbprint } from '../../../src/core/credential/thumbprint.ts';
import { delegationClaims } from '../../support/delegation-claims.ts';
import type { Store } from '../../../src/store/store.ts';

/** A session, bound to a key, for which the test signs tokens. */
export interface Holder {
  readonly session: string;
  token(audience: string): Promise<string>;
}

type Minter = (session: string) => Promise<Holder>;

/** @param certificate to which the sessions are bound, PEM */
export async function createMinter(
  { files, urls }: Pick<RunningDemo, 'files' | 'urls'>,
  sessions: Store['sessions'],
  certificate: string,
): Promise<Minter> {
  const directory = join(files.directory, 'keys/signing');
  const [file = ''] = await readdir(directory);
  const jwk = JSON.parse(await readFile(join(directory, file), 'utf8')) as JWK & { readonly kid: string };
  const key = await importJWK(jwk, 'ES256');
  const thumbprint = certificateThumbprint(new X509Certificate(certificate).raw);
  return async (session) => {
    const minted = await sessions.mint(session, { thumbprint });
    if (!minted.ok) throw new Error(`no token: ${minted.reason}`);
    const { record, position } = minted;
    const claims = {
      iss: urls.web,
      sub: record.account,
      client_id: PLUGIN_CLIENT_ID,
      sid: record.id,
      ep: position.epoch,
      ln: position.number,
      cnf: { 'x5t#S256': thumbprint },
      ...delegationClaims(record),
    };
    return {
      session,
      token(audience) {
        const now = Math.floor(Date.now() / 1000);
        return new SignJWT({ ...claims, aud: audience, iat: now, exp: now + 900, jti: crypto.randomUUID() })
          .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid })
          .sign(key);
      },
    };
  };
}
