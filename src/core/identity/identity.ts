/**
 * Defines a user's identity for Kubernetes (its UserInfo), and the user's account at a provider.
 */

/** A Kubernetes UserInfo, from which impersonation headers are built. It is cached for each session. */
export interface Identity {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/**
 * `PROVIDER/SUBJECT`: the provider's configured name and its immutable subject. Username and groups are presentation;
 * only the account decides which user it is. A provider's name has no slash, so the first one separates the two.
 */
export type Account = `${string}/${string}`;

/** Returns the account of a subject. */
export const accountOf = (provider: string, subject: string): Account => `${provider}/${subject}`;

/** Returns the provider of an account, or the rule of a workload. */
export const providerOf = (account: Account): string => account.slice(0, account.indexOf('/'));

export const subjectOf = (account: Account): string => account.slice(account.indexOf('/') + 1);

/** Whether two identities would send the same headers; the order of groups has no meaning. */
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
