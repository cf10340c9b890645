/**
 * Constrained impersonation (KEP-5284; on by default from Kubernetes 1.36): who may be impersonated, for which verbs.
 *
 * The API server asks for two things there: `impersonate:MODE` on each attribute of the impersonated user, and
 * `impersonate-on:MODE:VERB` on what the request is about. The mode follows from the name: a service account, a node,
 * or any other user (`user-info`). Only the last may have groups, a uid and extra.
 *
 * An attacker with a right that counts only in this way must not get more from the proxy than from the API server,
 * so everything here follows its source and what it would reject is rejected.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/#constrained-impersonation
 */
import type { Identity } from '../identity/identity.ts';
import { type ImpersonateAttributes, impersonateAttributes, serviceAccountOf } from './impersonation.ts';
import type { RequestInfo } from '../request/request-info.ts';

/** Of `clusters[].impersonate`: for which verbs the proxy's account may impersonate. `off` is the legacy verb alone. */
export const CONSTRAINTS = ['off', 'read', 'all'] as const;
export type Constraint = (typeof CONSTRAINTS)[number];

/** @param impersonate of a cluster */
export const isConstrained = ({ constrained = 'off' }: { readonly constrained?: Constraint }): boolean =>
  constrained !== 'off';

/** A node has a mode of its own too, which would make it a member of `system:nodes`. The proxy never uses it. */
export type ConstrainedMode = 'user-info' | 'serviceaccount';

/** Why no constrained mode that the proxy uses can express a user. */
export type UnconstrainedRejection = 'node' | 'service_account_attributes' | 'masters';

const AUTHENTICATION = 'authentication.k8s.io';
const MASTERS = 'system:masters';

export const constrainedMode = ({ username }: Pick<Identity, 'username'>): ConstrainedMode =>
  serviceAccountOf(username) === undefined ? 'user-info' : 'serviceaccount';

/** @returns undefined if `constrainedMode` can express the user */
export function unconstrained({ username, uid, groups, extra }: Identity): UnconstrainedRejection | undefined {
  // The API server's rule is narrower: it takes what is not a DNS name for an ordinary user. Neither is a user's name.
  if (username.startsWith('system:node:')) return 'node';
  const bare = uid === '' && groups.length === 0 && Object.keys(extra).length === 0;
  if (constrainedMode({ username }) === 'serviceaccount' && !bare) return 'service_account_attributes';
  return groups.includes(MASTERS) ? 'masters' : undefined;
}

/** Returns the rights that a user needs to impersonate another one in a constrained mode, whatever the request is. */
export const constrainedAttributes = (requested: Identity): readonly ImpersonateAttributes[] =>
  impersonateAttributes(requested).map((attributes) => ({
    ...attributes,
    verb: `impersonate:${constrainedMode(requested)}`,
    // Users, groups and service accounts are in the core group for the legacy verb only.
    group: AUTHENTICATION,
  }));

/** What a request is about, as attributes of a review; a path that is no resource has the verb alone. */
export type ImpersonateOnAttributes = ImpersonateAttributes | { readonly verb: string; readonly path: string };

/**
 * Returns the right that a user needs to impersonate in this request. The verb is the one of the request line: an
 * `exec` by GET is `get`, although the API server lets only users run it who may `create` as well.
 */
export function impersonateOn(mode: ConstrainedMode, info: RequestInfo): ImpersonateOnAttributes {
  const verb = `impersonate-on:${mode}:${info.verb}`;
  if (!info.isResourceRequest) return { verb, path: info.path };
  const { apiGroup: group, apiVersion: version, resource, subresource, namespace, name } = info;
  return { verb, group, version, resource, subresource, namespace, name };
}
