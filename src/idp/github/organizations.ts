/**
 * The organisations and teams of a user that count.
 *
 * Only those of the configured organisations. An attacker makes an organisation on GitHub and a team of any name
 * in it; a mapping that reads the team's name alone would give them the rights of a team of that name elsewhere.
 *
 * An organisation with single sign-on that this token is not authorised for is missing from GitHub's responses.
 * Where it counts, the user is rejected and its name is in the message: without it their groups would be wrong,
 * and a rule that looks for a team would be evaluated on incomplete data. Where no organisations are configured,
 * it is left out and logged: it may have nothing to do with Portcullis, and could lock its members out.
 */
import * as z from 'zod';
import { AppError } from '../../core/errors.ts';
import type { GithubRequest, GithubApi } from './api.ts';
import { rejected, ssoMessage } from './errors.ts';

/** An organisation by its login, which can be renamed and then taken by another one, or by its id, which cannot. */
export type OrganizationName = string | number;

const id = z.int().positive();
const organization = z.object({ id, login: z.string().min(1) });
const membership = z.object({ state: z.string(), organization });
const team = z.object({ id, slug: z.string().min(1), organization });

export type Organization = Readonly<z.output<typeof organization>>;

export interface Team {
  readonly id: number;
  readonly slug: string;
  /** The organisation's login. */
  readonly organization: string;
  readonly organization_id: number;
}

export interface Memberships {
  readonly organizations: readonly Organization[];
  readonly teams: readonly Team[];
  /** Ids of organisations that were left out because of their single sign-on. */
  readonly leftOut: readonly number[];
}

export interface MembershipOptions {
  readonly provider: string;
  readonly origin: URL;
  /** Absent: all of them count. */
  readonly organizations?: readonly OrganizationName[] | undefined;
}

/** @throws AppError `sign_in_refused` (`organization_missing`, `organization_sso_required`), and as the API's `list` */
export async function readMemberships(
  api: GithubApi,
  request: GithubRequest,
  options: MembershipOptions,
): Promise<Memberships> {
  const [memberships, teams] = await Promise.all([
    api.list('/user/memberships/orgs?state=active', membership, request),
    api.list('/user/teams', team, request),
  ]);
  const hidden = new Set([...memberships.hidden, ...teams.hidden]);
  const active = memberships.value
    // An invitation that was not accepted is no membership, whatever the query's filter does.
    .filter(({ state }) => state === 'active')
    .map((each) => each.organization)
    .filter((each) => options.organizations?.some((name) => isNamed(each, name)) ?? true);
  if (options.organizations !== undefined) {
    await assertNoneHidden(api, request, { ...options, organizations: options.organizations, active, hidden });
    if (active.length === 0) throw notAMember(options);
  }
  const organizations = active.filter((each) => !hidden.has(each.id));
  const ids = new Set(organizations.map((each) => each.id));
  return {
    organizations,
    teams: teams.value
      .filter((each) => ids.has(each.organization.id))
      .map((each) => ({
        id: each.id,
        slug: each.slug,
        organization: each.organization.login,
        organization_id: each.organization.id,
      })),
    // Organisations other than the configured ones are not needed.
    leftOut: options.organizations === undefined ? [...hidden] : [],
  };
}

/** GitHub compares logins without regard to case. */
const isNamed = ({ id: own, login }: Organization, name: OrganizationName): boolean =>
  typeof name === 'number' ? own === name : login.toLowerCase() === name.toLowerCase();

interface Counted extends MembershipOptions {
  readonly organizations: readonly OrganizationName[];
  readonly active: readonly Organization[];
  readonly hidden: ReadonlySet<number>;
}

async function assertNoneHidden(api: GithubApi, request: GithubRequest, counted: Counted): Promise<void> {
  const { active, hidden, organizations } = counted;
  if (hidden.size === 0) return;
  const half = active.find((each) => hidden.has(each.id));
  if (half !== undefined) throw ssoRequired(counted, half.login);
  for (const name of organizations) {
    if (active.some((each) => isNamed(each, name))) continue;
    // The header has ids only, and no name of what the user cannot see: each configured one is requested by name.
    if (typeof name === 'number' ? hidden.has(name) : await isBehindSso(api, request, name))
      throw ssoRequired(counted, name);
  }
}

async function isBehindSso(api: GithubApi, request: GithubRequest, login: string): Promise<boolean> {
  try {
    await api.get(`/user/memberships/orgs/${encodeURIComponent(login)}`, membership, request);
    return false;
  } catch (error) {
    if (error instanceof AppError && error.reason === 'organization_sso_required') return true;
    if (error instanceof AppError && error.reason === 'provider_not_found') return false;
    throw error;
  }
}

function ssoRequired({ origin }: MembershipOptions, name: OrganizationName): AppError {
  const page = typeof name === 'string' ? `${origin.origin}/orgs/${encodeURIComponent(name)}/sso` : undefined;
  return rejected(
    'organization_sso_required',
    ssoMessage(typeof name === 'string' ? name : `the organisation with the id ${name}`, page),
  );
}

const notAMember = ({ provider }: MembershipOptions): AppError =>
  rejected(
    'organization_missing',
    `${provider} does not show you as an active member of an organisation that may sign in here. Accept your invitation there; ` +
      'if you are a member, ask an owner of the organisation to approve this OAuth app, then sign in again.',
  );
