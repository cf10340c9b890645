/** The proxy's own responses about impersonation: by a user (`kubectl --as`), and by the proxy's own account. */
import type { ImpersonateOnAttributes, UnconstrainedRejection } from '../core/http/constrained-impersonation.ts';
import { rbacDenial } from '../core/http/impersonation.ts';
import type { ImpersonationRejection } from '../core/http/impersonation.ts';
import { rejection } from './rejections.ts';
import type { Rejection } from './status.ts';

/** Returns the rejection for `Impersonate-*` headers that cannot be read as one identity. */
export function impersonationRejection(reason: ImpersonationRejection): Rejection {
  const bad = (message: string): Rejection => rejection(400, 'BadRequest', message, reason);
  switch (reason) {
    case 'impersonation_header_unknown':
      return bad('one of the Impersonate- headers is not known; this proxy knows -User, -Group, -Uid and -Extra-KEY');
    case 'impersonation_without_user':
      return bad('groups, uid or extra were requested without impersonating a user: add --as');
    case 'impersonation_repeated':
      return bad('Impersonate-User and Impersonate-Uid may be given once');
    case 'impersonation_malformed':
      return bad(
        'a name to impersonate is empty, too long, not UTF-8, or has characters that no name may have: correct --as, --as-group, --as-uid or --as-user-extra',
      );
    case 'impersonation_reserved_extra': {
      const message = 'extra keys under portcullis.dev/ are set by the proxy alone: leave them out';
      return rejection(403, 'Forbidden', message, reason);
    }
  }
}

/** Returns the API server's own message. @param username of the user who asked */
export function impersonationDenied(username: string, attributes: ImpersonateOnAttributes): Rejection {
  return rejection(403, 'Forbidden', rbacDenial(username, attributes), 'impersonation_denied');
}

export function impersonationNotConfigured({
  kind,
  name,
}: {
  readonly kind: 'group' | 'extra';
  readonly name: string;
}): Rejection {
  const attribute = kind === 'group' ? 'the group' : 'the extra key';
  const message = `${attribute} ${JSON.stringify(name)} cannot be impersonated through this proxy: leave it out, or ask your platform team to add it to clusters[].impersonate`;
  return rejection(403, 'Forbidden', message, 'impersonation_not_configured');
}

/** Returns the rejection for a user that a cluster with `clusters[].impersonate.constrained` cannot be asked for. */
export function impersonationUnconstrained(reason: UnconstrainedRejection): Rejection {
  const message = {
    node: 'nodes cannot be impersonated through this proxy at a cluster with constrained impersonation',
    service_account_attributes:
      'at a cluster with constrained impersonation, a service account can be impersonated by its name alone: leave out --as-group, --as-uid and --as-user-extra',
    masters: 'impersonating the system:masters group is not allowed at a cluster with constrained impersonation',
  }[reason];
  return rejection(403, 'Forbidden', message, 'impersonation_unconstrained');
}

/** Returns the rejection for what the proxy's account may do for no user: the cluster is configured as read-only. */
export function constrainedRejection(verb: string): Rejection {
  const message = `through this proxy the cluster can be read only, whatever your own rights are, and this needs the verb ${JSON.stringify(verb)} for the proxy's account: use another way to the cluster, or ask your platform team (clusters[].impersonate.constrained)`;
  return rejection(403, 'Forbidden', message, 'impersonation_constrained');
}

export function impersonationTooLarge(count: number, limit: number): Rejection {
  const message = `impersonating another user with ${count} attributes (user, uid, groups and extra values) needs as many reviews, and at most ${limit} are made: leave out some of --as-group and --as-user-extra`;
  return rejection(403, 'Forbidden', message, 'impersonation_too_large');
}

/**
 * Returns the rejection for a 403 of the API server about the proxy's own account: its impersonation check, which
 * comes before anything is executed.
 * @param resource what the account may not impersonate (`users`, `serviceaccounts`, `groups`, …); undefined if the
 *   message does not name it
 */
export function proxyAccountRejection(resource: string | undefined): Rejection {
  const attribute = resource ?? 'you';
  const message = `the proxy's own account at this cluster may not impersonate ${attribute}, so nothing was done; your own rights are not the reason: ask your platform team`;
  // Every request needs to impersonate a user: an API server that denies that may have started just now, and not
  // have its roles yet. An API server that denies only more than that has them, so another attempt would only keep
  // the user waiting.
  return resource === undefined || resource === 'users'
    ? rejection(503, 'ServiceUnavailable', message, 'own_account_refused', 'later')
    : rejection(502, 'ServiceUnavailable', message, 'own_account_refused');
}

/**
 * Returns the rejection for an API server that asks for the legacy verb although the proxy's account has constrained
 * rights: it does not know those, or the account lacks them.
 */
export const unsupportedRejection = (): Rejection =>
  rejection(
    503,
    'ServiceUnavailable',
    'this cluster does not know constrained impersonation (Kubernetes 1.36, or 1.35 with the feature gate ConstrainedImpersonation), for which the proxy is configured, so nothing was done; your own rights are not the reason: ask your platform team',
    'constrained_unsupported',
  );
