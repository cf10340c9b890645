/**
 * Limits on the length of the parameters of a request that is kept until the user has signed in.
 *
 * An attacker sends a state or a scope of fifty kilobytes, each of which is stored for ten minutes, so each
 * parameter has a limit, and so have all of them together. No RFC gives one (RFC 6749 §4.1.1 leaves `state` to the
 * client); browsers and common providers accept about two thousand characters for a whole URL.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';

const MAX_PARAMETER_LENGTH = 2048;
/** Enough for a `resource` for each of a hundred clusters. */
const MAX_TOTAL_LENGTH = 8192;

/** @throws InvalidRequest that names the parameter and repeats nothing of it */
export function assertShortParameters({ oidc }: KoaContextWithOIDC): void {
  const named = Object.entries(oidc.params ?? {}).map(([name, value]) => ({
    name,
    values: [value].flat().map(lengthOf),
  }));
  const long = named.find(({ values }) => values.some((length) => length > MAX_PARAMETER_LENGTH));
  if (long !== undefined)
    throw new errors.InvalidRequest(`${long.name} is longer than ${MAX_PARAMETER_LENGTH} characters`);
  const all = named.flatMap(({ values }) => values).reduce((sum, length) => sum + length, 0);
  if (all > MAX_TOTAL_LENGTH)
    throw new errors.InvalidRequest(`the parameters are longer than ${MAX_TOTAL_LENGTH} characters`);
}

const lengthOf = (value: unknown): number => (typeof value === 'string' ? value.length : 0);
