/** From GitHub's API to the claims of a user: identity, verified address, organisations and teams. */
import * as z from 'zod';
import type { Claims, ClaimsMapping } from '../../core/identity/types.ts';
import type { GithubRequest, GithubApi } from './api.ts';
import { rejected } from './errors.ts';
import { readMemberships, type OrganizationName } from './organizations.ts';

const READ_ORGANIZATIONS = 'read:org';
const READ_EMAIL = 'user:email';
/** A wider scope is granted in the place of one that it contains. */
const HOLDERS: Readonly<Record<string, readonly string[]>> = {
  [READ_ORGANIZATIONS]: [READ_ORGANIZATIONS, 'write:org', 'admin:org'],
  [READ_EMAIL]: [READ_EMAIL, 'user'],
};

const user = z.object({ id: z.int().positive(), login: z.string().min(1) });
const address = z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() });

export interface GithubUser {
  readonly subject: string;
  readonly claims: Claims;
  readonly leftOut: readonly number[];
}

export interface UserReaderOptions {
  readonly provider: string;
  readonly origin: URL;
  readonly mapping: ClaimsMapping;
  /** Absent: all organisations count. */
  readonly organizations?: readonly OrganizationName[] | undefined;
  readonly api: GithubApi;
}

export interface UserReader {
  /** What the mapping needs, and no more. */
  readonly scopes: readonly string[];
  /**
   * @throws AppError `sign_in_refused` or `provider_unavailable`; nothing that was requested and not granted is
   *   left out silently
   */
  read(request: GithubRequest): Promise<GithubUser>;
}

export function createUserReader(options: UserReaderOptions): UserReader {
  const { provider, api, mapping } = options;
  const { username, groups, uid, extra, rules } = mapping;
  const expressions = [username, groups, uid, ...extra.values(), ...rules.map(({ expression }) => expression)];
  const readsEmail = expressions.some((expression) => expression?.reads('email') === true);
  const scopes = readsEmail ? [READ_ORGANIZATIONS, READ_EMAIL] : [READ_ORGANIZATIONS];
  return {
    scopes,
    async read(request) {
      const { value: account, scopes: granted } = await api.get('/user', user, request);
      assertScopes(provider, { asked: scopes, granted, token: request.token });
      const [memberships, email] = await Promise.all([
        readMemberships(api, request, options),
        readsEmail ? verifiedEmail(options, request) : undefined,
      ]);
      return {
        subject: String(account.id),
        claims: {
          id: account.id,
          login: account.login,
          organizations: memberships.organizations,
          teams: memberships.teams,
          ...(email === undefined ? {} : { email, email_verified: true }),
        },
        leftOut: memberships.leftOut,
      };
    },
  };
}

/**
 * Returns the primary address, where GitHub has verified it. There is no other `claims.email`, whatever the
 * configuration trusts, so that no rule is ever evaluated on an address that anyone could have entered.
 */
async function verifiedEmail({ provider, mapping, api }: UserReaderOptions, request: GithubRequest) {
  const { value } = await api.list('/user/emails', address, request);
  const email = value.find(({ primary, verified }) => primary && verified)?.email;
  if (email === undefined && mapping.username.reads('email')) {
    const message = `${provider} has not verified your primary e-mail address. Verify it there, then sign in again.`;
    throw rejected('email_unverified', message);
  }
  return email;
}

/**
 * With fewer scopes than requested, the API returns less, and a user in ten teams would look like one in none. A
 * user could use that to get around a rule, so all scopes are required.
 */
function assertScopes(
  provider: string,
  { asked, granted, token }: { asked: readonly string[]; granted: readonly string[] | undefined; token: string },
): void {
  // User tokens of a GitHub App have permissions in the place of scopes.
  if (granted === undefined || token.startsWith('ghu_')) return;
  const missing = asked.find((scope) => !(HOLDERS[scope] ?? [scope]).some((holder) => granted.includes(holder)));
  if (missing === undefined) return;
  const message = `${provider} did not let us read what is needed (${missing}). Sign in again and agree to what is asked there.`;
  throw rejected('provider_scope_missing', message);
}
