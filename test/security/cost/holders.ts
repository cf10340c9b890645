/** Accounts that hold something open: sessions in the store, and tokens as the token endpoint gives them. */
import { X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importJWK, SignJWT, type JWK } from 'jose';
import type { RunningDemo } from '../../../demo/launch.ts';
import { certificateThumbprint } from '../../../src/core/credential/thumbprint.ts';
import { tokenClaims } from '../../support/token-claims.ts';
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
    return {
      session,
      token(audience) {
        return new SignJWT(tokenClaims({ record, thumbprint, position, issuer: urls.web, audience, lifeSeconds: 900 }))
          .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: jwk.kid })
          .sign(key);
      },
    };
  };
}
