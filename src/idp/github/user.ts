/** From GitHub's API to the claims of a person: who they are, their verified address, their organisations and teams. */
import * as z from 'zod';
import type { Claims, ClaimsMapping } from '../../core/identity/types.ts';
import type { Asking, GithubApi } from './api.ts';
import { refused } from './errors.ts';
import { readBelonging, type OrganizationName } from './organizations.ts';

const READ_ORGANIZATIONS = 'read:org';
const READ_EMAIL = 'user:email';
/** A wider scope is granted in the place of one that it holds. */
const HOLDERS: Readonly<Record<string, readonly string[]>> = {
  [READ_ORGANIZATIONS]: [READ_ORGANIZATIONS, 'write:org', 'admin:org'],
  [READ_EMAIL]: [READ_EMAIL, 'user'],
};

const user = z.object({ id: z.int().positive(), login: z.string().min(1) });
const address = z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() });

export interface Person {
  readonly subject: string;
  readonly claims: Claims;
  readonly leftOut: readonly number[];
}

export interface PersonReaderOptions {
  readonly provider: string;
  readonly origin: URL;
  readonly mapping: ClaimsMapping;
  /** Absent: all organisations count. */
  readonly organizations?: readonly OrganizationName[] | undefined;
  readonly api: GithubApi;
}

export interface PersonReader {
  /** What the mapping needs, and no more. */
  readonly scopes: readonly string[];
  /** @throws AppError `sign_in_refused` or `provider_unavailable`; nothing is left out that was asked for and not given */
  read(asking: Asking): Promise<Person>;
}

export function createPersonReader(options: PersonReaderOptions): PersonReader {
  const { provider, api, mapping } = options;
  const { username, groups, uid, extra, rules } = mapping;
  const expressions = [username, groups, uid, ...extra.values(), ...rules.map(({ expression }) => expression)];
  const readsEmail = expressions.some((expression) => expression?.reads('email') === true);
  const scopes = readsEmail ? [READ_ORGANIZATIONS, READ_EMAIL] : [READ_ORGANIZATIONS];
  return {
    scopes,
    async read(asking) {
      const { value: who, scopes: granted } = await api.get('/user', user, asking);
      assertScopes(provider, { asked: scopes, granted, token: asking.token });
      const [belonging, email] = await Promise.all([
        readBelonging(api, asking, options),
        readsEmail ? verifiedEmail(options, asking) : undefined,
      ]);
      return {
        subject: String(who.id),
        claims: {
          id: who.id,
          login: who.login,
          organizations: belonging.organizations,
          teams: belonging.teams,
          ...(email === undefined ? {} : { email, email_verified: true }),
        },
        leftOut: belonging.leftOut,
      };
    },
  };
}

/**
 * The primary address, where GitHub has verified it; there is no other `claims.email`, whatever the configuration trusts, so that no rule is
 * ever judged on an address that anybody may have typed in.
 */
async function verifiedEmail({ provider, mapping, api }: PersonReaderOptions, asking: Asking) {
  const { value } = await api.list('/user/emails', address, asking);
  const email = value.find(({ primary, verified }) => primary && verified)?.email;
  if (email === undefined && mapping.username.reads('email')) {
    const words = `${provider} has not verified your primary e-mail address. Verify it there, then sign in again.`;
    throw refused('email_unverified', words);
  }
  return email;
}

/** Threat: with less than was asked for, the API answers with less, and somebody in ten teams would look like a person in none. */
function assertScopes(
  provider: string,
  { asked, granted, token }: { asked: readonly string[]; granted: readonly string[] | undefined; token: string },
): void {
  // User tokens of a GitHub App have permissions in the place of scopes.
  if (granted === undefined || token.startsWith('ghu_')) return;
  const missing = asked.find((scope) => !(HOLDERS[scope] ?? [scope]).some((holder) => granted.includes(holder)));
  if (missing === undefined) return;
  const words = `${provider} did not let us read what is needed (${missing}). Sign in again and agree to what is asked there.`;
  throw refused('provider_scope_missing', words);
}
