/**
 * The refresh tokens of delegated sessions. Their holder refreshes like every plugin, so every check of a refresh is
 * theirs, too; what differs is only that no one signs in.
 *
 * An attacker who gets at a child's directory has its refresh token and its key, and no more: the grant has no audience
 * but those of the session's clusters, of registered clients that may use one of these, and its own sessions'.
 */
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';
import type { GrantDelegation } from '../contracts/authorization.ts';
import type { Clock } from '../contracts/clock.ts';
import { clusterAudience, PLUGIN_CLIENT_ID, SELF_AUDIENCE } from '../core/core.ts';
import { SCOPE, type Audiences } from './audiences.ts';
import { defined } from '../core/defined.ts';

/** In a refresh token: the grant that it comes from. */
const GRANT = 'delegation';

/** Returns whether the refresh token of this request is a delegated session's; one that rotates gets further grants. */
export const isDelegated = ({ oidc }: KoaContextWithOIDC): boolean =>
  oidc.entities.RefreshToken?.gty?.split(' ')[0] === GRANT;

export function createDelegatedGrants(
  provider: Provider,
  clock: Clock,
  { resourcesFor }: Pick<Audiences, 'resourcesFor'>,
): GrantDelegation {
  return async ({ session, clusters, thumbprint, expiresAt }) => {
    const client = await provider.Client.find(PLUGIN_CLIENT_ID);
    if (client === undefined) throw new Error('the plugin is a client of ours');
    const audiences = [...clusters.map(clusterAudience), SELF_AUDIENCE, ...resourcesFor(clusters)];
    const grant = new provider.Grant({ accountId: session.account, clientId: PLUGIN_CLIENT_ID });
    // As in a sign-in: under the session's own id, so that the end of the session ends the grant and its tokens.
    grant.jti = session.id;
    for (const audience of audiences) grant.addResourceScope(audience, SCOPE);
    await grant.save();
    const token = new provider.RefreshToken({
      accountId: session.account,
      client,
      grantId: session.id,
      gty: GRANT,
      scope: SCOPE,
      resource: audiences,
      expiresWithSession: false,
      expiresIn: Math.max(1, expiresAt - Math.floor(clock.nowMs() / 1000)),
      ...defined({ 'x5t#S256': thumbprint }),
    });
    return token.save();
  };
}
