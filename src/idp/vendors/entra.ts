/**
 * Microsoft Entra ID: one tenant, an account by `tid` and `oid`, and groups that the token may be too small for.
 *
 * @see https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference
 * @see https://learn.microsoft.com/en-us/graph/api/user-list-transitivememberof
 */
import * as z from 'zod';
import { hasGroupsOverage } from '../../core/identity/claims-parts.ts';
import type { Claims } from '../../core/identity/types.ts';
import { AppError } from '../../core/errors.ts';
import { VENDOR_HOSTS } from '../../core/identity/provider-types.ts';
import { createOutbound, reachOf, type Reach } from '../outbound.ts';
import { allPages, type Page } from './api.ts';
import { standardVendor, type Vendor } from './vendor.ts';

export interface EntraOptions extends Reach {
  readonly name: string;
  /** The tenant's id; no user of another one is admitted. */
  readonly tenant: string;
  /** What `claims.groups` holds: object ids as in the token, or display names from Graph. */
  readonly groupsAs: 'id' | 'name';
  /** The mapping reads `claims.groups`. */
  readonly wantsGroups: boolean;
  readonly maxGroups: number;
  /** Origin of Microsoft Graph. */
  readonly graph: string;
}

/** `User.Read` shows a user's own memberships, but of each group only its id. */
const GRAPH_SCOPE = { id: 'User.Read', name: 'GroupMember.Read.All' } as const;
const PAGE_SIZE = 999;

export function createEntra(options: EntraOptions): Vendor {
  const outbound = createOutbound({ issuer: new URL(options.graph), hosts: [], ...reachOf(options) });
  const { name, tenant, groupsAs, wantsGroups, maxGroups } = options;
  const standard = standardVendor('entra');
  const scope = `https://${VENDOR_HOSTS.graph}/${GRAPH_SCOPE[groupsAs]}`;
  return {
    ...standard,
    scopes: (offered) => [...standard.scopes(offered), ...(wantsGroups ? [scope] : [])],
    subjectOf: (claims) => subjectOf(name, tenant, claims),
    async complete(claims, accessToken) {
      const overage = hasGroupsOverage(claims);
      if (!wantsGroups || (groupsAs === 'id' && !overage)) return claims;
      const groups = await allPages({
        provider: name,
        outbound,
        // Not the address in `_claim_sources`: it is untrusted, and has long pointed to an API that is gone.
        first: `${options.graph}/v1.0/me/transitiveMemberOf?$select=id,displayName&$top=${PAGE_SIZE}`,
        accessToken,
        read: groupsPage(groupsAs),
        maxGroups,
        reason: overage ? 'groups_overage' : 'groups_unresolved',
        rejection: `Microsoft Graph does not say which groups you are in, so yours are unknown. Ask your platform team to let ${name} use ${GRAPH_SCOPE[groupsAs]}, or to limit the groups that it sends.`,
      });
      return { ...claims, groups };
    },
  };
}

/**
 * Returns the account. `oid` is the user throughout the tenant; `sub` differs from application to application, and
 * an e-mail address may change hands.
 */
function subjectOf(name: string, tenant: string, { tid, oid }: Claims): string {
  const isUserId = typeof oid === 'string' && /^[0-9a-f-]{36}$/.test(oid);
  // An attacker makes a tenant, and users of any name in it. So only this tenant's users count.
  if (tid === tenant && isUserId) return `${tid}.${oid}`;
  throw new AppError(
    'sign_in_refused',
    `You did not sign in with an account of ${name}’s own tenant. Choose that one.`,
    {
      reason: tid === tenant ? 'oid_missing' : 'tenant_foreign',
    },
  );
}

const memberships = z.object({
  value: z.array(
    z.object({
      '@odata.type': z.string(),
      id: z.string().min(1),
      displayName: z.string().min(1).nullish(),
    }),
  ),
  '@odata.nextLink': z.string().optional(),
});

/** Directory roles and administrative units are memberships too, and no groups. */
const groupsPage =
  (groupsAs: 'id' | 'name') =>
  (body: unknown): Page<string> => {
    const { value, '@odata.nextLink': next } = memberships.parse(body);
    const groups = value.filter((item) => item['@odata.type'] === '#microsoft.graph.group');
    return { items: groups.map((group) => (groupsAs === 'id' ? group.id : nameOf(group.displayName))), next };
  };

function nameOf(displayName: string | null | undefined): string {
  // Graph silently leaves out what the application may not read.
  if (typeof displayName === 'string') return displayName;
  throw new Error(`a group without displayName: ${GRAPH_SCOPE.name} is not granted`);
}
