/** Whether a provider's groups are worth a request of their own. */

interface Expressions {
  readonly username: string;
  readonly groups?: string;
  readonly uid?: string;
  readonly extra: Readonly<Record<string, string>>;
  readonly rules: readonly { readonly expression: string }[];
}

/**
 * True where an expression reads `claims.groups`, or `claims` in a way that cannot be told.
 *
 * Threat: a rule that keeps somebody out by a group would let them in where their groups are not there.
 */
export const readsGroups = ({ username, groups = '', uid = '', extra, rules }: Expressions): boolean =>
  [username, groups, uid, ...Object.values(extra), ...rules.map(({ expression }) => expression)].some((source) =>
    /\bgroups\b|\bclaims\b(?!\.\w)/.test(source),
  );
