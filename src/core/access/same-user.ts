/**
 * Whether two accounts are of one human: no one approves what they asked for themselves.
 *
 * An attacker, or a user in a hurry, has an account at two providers and approves with one what the other asked for. The
 * accounts differ, so the names are compared that providers give to both: the name without the provider's prefix, and
 * each e-mail address that a provider has verified. Two users with one name cannot approve for one another:
 * that costs them a colleague, and the other way round costs the cluster.
 */
import { verifiedEmailOf } from '../identity/claims-parts.ts';
import type { Identity } from '../identity/identity.ts';
import type { Claims, ClaimsMapping } from '../identity/types.ts';

/** Folds a name for the comparison: case and Unicode form have no meaning, and `@` ends the local part only. */
const folded = (name: string): string => name.normalize('NFKC').toLowerCase().trim();

/**
 * Returns the names by which a user is known at any provider, folded, without repetition.
 * @param identity as the claims were mapped, with the provider's prefix
 */
export function knownAsOf(
  mapping: Pick<ClaimsMapping, 'usernamePrefix' | 'trustsEmail'>,
  claims: Claims,
  { username }: Pick<Identity, 'username'>,
): readonly string[] {
  const { usernamePrefix } = mapping;
  const bare = username.startsWith(usernamePrefix) ? username.slice(usernamePrefix.length) : username;
  const email = verifiedEmailOf(mapping, claims);
  return [...new Set([bare, ...(email === undefined ? [] : [email])].map(folded).filter(Boolean))];
}

/** Whether they share a name. */
export const arePossiblyOne = (left: readonly string[], right: readonly string[]): boolean =>
  left.some((name) => right.includes(name));
