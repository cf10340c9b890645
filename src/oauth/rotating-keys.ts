/** Signing keys that are rotated while the server runs. */
import type { JWKS, KoaContextWithOIDC } from 'oidc-provider';
import type { SigningKeys } from '../config/config.ts';

export interface RotatingKeys {
  /** To be read at each request: keys are rotated. */
  readonly signingKeys: Pick<SigningKeys, 'privateJwks' | 'publicJwks'>;
  /** The key that signs comes first. Returns the same array until the keys change. */
  readonly cookieKeys: () => readonly string[];
}

/**
 * Builds for the current keys, and again when they have changed. oidc-provider takes its keys once, when it is
 * created, so another one is created for other keys, behind the same handler. It keeps no state, and a request
 * that an earlier one has begun to handle is handled by it to the end.
 * @param build is called immediately, so that unusable keys are found at the start
 * @returns what was built with the current keys
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
 * Publishes more keys than the library knows: the JWK Set contains a removed key for as long as a token that it
 * signed may live.
 */
export const publicKeysResponse =
  ({ signingKeys }: Pick<RotatingKeys, 'signingKeys'>) =>
  async (ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    await next();
    if (ctx.oidc?.route === 'jwks' && ctx.status === 200) ctx.body = { keys: signingKeys.publicJwks.keys };
  };
