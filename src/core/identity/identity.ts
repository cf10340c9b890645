/**
 * Who somebody is to Kubernetes (its UserInfo), and which account at which provider that is.
 */

/** Kubernetes UserInfo: what impersonation headers will say. This is the impersonation credential cached per session. */
export interface Identity {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/**
 * `PROVIDER/SUBJECT`: the provider's configured name and its immutable subject. Username and groups are presentation;
 * only the account decides who somebody is. A provider's name has no slash, so the first one parts the two.
 */
export type Account = `${string}/${string}`;

export const accountOf = (provider: string, subject: string): Account => `${provider}/${subject}`;

/** True where two identities would send the same headers; the order of groups carries no meaning. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  const canonical = (identity: Identity): string =>
    JSON.stringify([
      identity.username,
      identity.uid,
      identity.groups.toSorted(),
      Object.entries(identity.extra).toSorted(([left], [right]) => (left < right ? -1 : 1)),
    ]);
  return canonical(a) === canonical(b);
}
