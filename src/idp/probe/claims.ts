/** The claims that the configuration reads, and whether a provider lists them. */
import type { ProviderConfig } from '../../config/config.ts';
import { listIn, shown, type Metadata } from './metadata.ts';
import { needed, optional, type ProbeRow } from './row.ts';

type Expressions = Pick<ProviderConfig, 'username' | 'groups' | 'uid' | 'extra' | 'rules' | 'emailVerified'>;

/** `claims.name`, `claims.?name`, `claims["name"]`, `claims[?'name']`. */
const READS = /\bclaims(?:\.\??([A-Za-z_]\w*)|\[\??(?:"([^"]+)"|'([^']+)')\])/g;

const readBy = (expression: string): readonly string[] =>
  [...expression.matchAll(READS)].flatMap(([, plain, double, single]) => plain ?? double ?? single ?? []);

/** Returns the names of the claims that the configuration reads. */
export function claimsRead(provider: Expressions): readonly string[] {
  const { username, groups = '', uid = '', extra, rules } = provider;
  const others = [groups, uid, ...Object.values(extra), ...rules.map(({ expression }) => expression)];
  const named = readBy(username);
  const verified = named.includes('email') && provider.emailVerified === 'claim' ? ['email_verified'] : [];
  return [...new Set([...named, ...verified, ...others.flatMap(readBy)])];
}

export function claimsRow(metadata: Metadata, provider: Expressions): ProbeRow {
  const read = claimsRead(provider);
  const supported = listIn(metadata, 'claims_supported');
  const check = 'claims';
  const seen = `read: ${shown(read)}`;
  if (supported === undefined) {
    return needed.unknown(
      check,
      `${seen}; it lists no claims_supported`,
      'See what a sign-in brings: portcullis config probe --sign-in.',
    );
  }
  const unlisted = read.filter((claim) => !supported.includes(claim));
  // Which of them this client gets is set there.
  if (unlisted.length === 0) return needed.unknown(check, `${seen}; all are listed`);
  return needed.unknown(
    check,
    `${seen}; claims_supported lacks ${shown(unlisted)}`,
    unlisted.includes('email_verified')
      ? 'The list need not be complete. Where email_verified is never said, set another username, or emailVerified: trusted.'
      : 'The list need not be complete. See that the provider puts them into the ID token or the UserInfo response.',
  );
}

/**
 * Checks whether anything that is evaluated at a re-check would change when an account is disabled there. A
 * provider that refreshes for disabled users is not detected before a user is disabled.
 */
export function disabledUsersRow({ rules, userRules }: Pick<ProviderConfig, 'rules' | 'userRules'>): ProbeRow {
  const read = [...new Set(rules.flatMap(({ expression }) => readBy(expression)))];
  const count = rules.length + userRules.length;
  return optional.unknown(
    'disabled users',
    count === 0
      ? 'no rule is asked at a re-check: only a refused refresh ends a session'
      : `${count} rule(s) are asked at each re-check, over ${shown(read.length === 0 ? ['the mapped user'] : read)}`,
    DISABLE_ONE,
  );
}

/** Used by `config check --claims` as well. */
export const DISABLE_ONE =
  'Some providers go on refreshing for users who are disabled there. Disable a test user who is signed in, and run `portcullis whoami` as them a minute later, which refreshes each time: if it still works, and the audit log has a further `refresh` event for them, set a rule on a claim that changes then, such as claims.active == true.';
