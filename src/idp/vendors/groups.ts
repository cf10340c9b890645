/** Whether a provider's groups need a request. */

interface Expressions {
  readonly username: string;
  readonly groups?: string;
  readonly uid?: string;
  readonly extra: Readonly<Record<string, string>>;
  readonly rules: readonly { readonly expression: string }[];
}

/**
 * Returns true where an expression reads `claims.groups`, or `claims` in a way that cannot be analysed. A rule
 * that keeps a user out by a group would admit them where their groups are missing, so in doubt they are read.
 */
export const readsGroups = ({ username, groups = '', uid = '', extra, rules }: Expressions): boolean =>
  [username, groups, uid, ...Object.values(extra), ...rules.map(({ expression }) => expression)].some((source) =>
    /\bgroups\b|\bclaims\b(?!\.\w)/.test(source),
  );
