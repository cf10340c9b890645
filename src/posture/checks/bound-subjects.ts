/** A binding with what is known when it is judged, and who a subject is. */
import type { Account, Settings } from '../rules/check.ts';
import type { Binding, RoleFacts, Subject } from '../rules/rights.ts';

export interface Bound {
  readonly binding: Binding;
  readonly facts: RoleFacts;
  readonly settings: Settings;
}

export const isAccount = ({ namespace, name }: Account, subject: Subject): boolean =>
  subject.kind === 'ServiceAccount' && subject.namespace === namespace && subject.name === name;

const ALL_ACCOUNTS = 'system:serviceaccounts';

/** For the groups of all accounts: the namespace that they are of, empty for every one. Else undefined. */
export function allAccountsOf({ kind, name }: Subject): string | undefined {
  if (kind !== 'Group') return undefined;
  if (name === ALL_ACCOUNTS) return '';
  return name.startsWith(`${ALL_ACCOUNTS}:`) ? name.slice(ALL_ACCOUNTS.length + 1) : undefined;
}

/** Whoever is signed in, every service account among them. */
export const isAuthenticated = ({ kind, name }: Subject): boolean =>
  kind === 'Group' && name === 'system:authenticated';

/** The ways to more rights than it gives, where it gives them; in words, empty: none. */
export const escalationOf = ({ binding, facts }: Bound): string =>
  binding.namespace === '' ? facts.escalation : facts.escalationInNamespace;

const ANONYMOUS: Readonly<Record<string, string>> = {
  User: 'system:anonymous',
  Group: 'system:unauthenticated',
};

/** Who comes without any credential. */
export const isAnonymous = ({ kind, name }: Subject): boolean => ANONYMOUS[kind] === name;
