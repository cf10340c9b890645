/** Signing keys that are rotated while the server runs. */
import type { JWKS, KoaContextWithOIDC } from 'oidc-provider';
import type { SigningKeys } from '../config/config.ts';

export interface RotatingKeys {
  /** Read at each request: keys are rotated. */
  readonly signingKeys: Pick<SigningKeys, 'privateJwks' | 'publicJwks'>;
  /** The one that signs first. The same array for as long as they are the same. */
  readonly cookieKeys: () => readonly string[];
}

/**
 * oidc-provider takes its keys once, when it is made. So for other keys another one is made, behind the same handler: it keeps no state of
 * its own, and a request that the one before has begun to answer is answered by it to the end.
 * @param build is called at once, so that keys that cannot be used are found at the start
 * @returns what was built with the keys as they stand now
 */
export function perKeys<T>(
  { signingKeys, cookieKeys }: RotatingKeys,
  build: (keys: { readonly jwks: JWKS; readonly cookieKeys: readonly string[] }) => T,
): () => T {
  const make = () => {
    const keys = { jwks: signingKeys.privateJwks, cookieKeys: cookieKeys() };
    return { keys, built: build(keys) };
  };
  let current = make();
  return () => {
    const { keys } = current;
    if (keys.jwks !== signingKeys.privateJwks || keys.cookieKeys !== cookieKeys()) current = make();
    return current.built;
  };
}

/**
 * The JWK Set says more than the library knows: a key that was taken away stands in it for as long as a token that it signed may live.
 */
export const publicKeysResponse =
  ({ signingKeys }: Pick<RotatingKeys, 'signingKeys'>) =>
  async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    if (ctx.oidc?.route === 'jwks' && ctx.status === 200) ctx.body = { keys: signingKeys.publicJwks.keys };
  };
