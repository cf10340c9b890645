/** A binding with the facts needed to evaluate it, and tests of its subjects. */
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

/**
 * Returns the namespace of a group of all accounts, empty for those of every namespace; undefined for any other
 * subject.
 */
export function allAccountsOf({ kind, name }: Subject): string | undefined {
  if (kind !== 'Group') return undefined;
  if (name === ALL_ACCOUNTS) return '';
  return name.startsWith(`${ALL_ACCOUNTS}:`) ? name.slice(ALL_ACCOUNTS.length + 1) : undefined;
}

/** Returns true for the group of every authenticated client, service accounts included. */
export const isAuthenticated = ({ kind, name }: Subject): boolean =>
  kind === 'Group' && name === 'system:authenticated';

/** Returns the escalations that the binding allows, as text; empty: none. */
export const escalationOf = ({ binding, facts }: Bound): string =>
  binding.namespace === '' ? facts.escalation : facts.escalationInNamespace;

const ANONYMOUS: Readonly<Record<string, string>> = {
  User: 'system:anonymous',
  Group: 'system:unauthenticated',
};

/** Returns true for a client without any credential. */
export const isAnonymous = ({ kind, name }: Subject): boolean => ANONYMOUS[kind] === name;
