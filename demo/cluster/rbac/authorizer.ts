/**
 * RBAC: may this user do this? Reads the roles and bindings that the cluster keeps as objects, so that what `kubectl get
 * rolebindings` shows is what decides.
 */
import type { Identity } from '../../../src/core/identity/identity.ts';
import { objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { JsonObject } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { qualified, StatusError } from '../objects/status.ts';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES } from '../resources.ts';
import type { Storage } from '../storage/storage.ts';
import { policyRule, ruleAllows } from './rules.ts';
import type { Attributes, PolicyRule } from './rules.ts';

export interface Decision {
  readonly allowed: boolean;
  /** Empty where nothing allows it, as RBAC says. */
  readonly reason: string;
}

export interface Authorizer {
  decide(user: Identity, wanted: Attributes): Decision;
  /** @throws StatusError 403 */
  require(user: Identity, wanted: Attributes): void;
  /** Every rule that holds for the user in one namespace. */
  rulesFor(user: Identity, namespace: string): PolicyRule[];
}

interface Grant {
  readonly rule: PolicyRule;
  readonly reason: string;
}

function names(subject: JsonObject, user: Identity): boolean {
  const name = stringAt(subject, 'name');
  switch (stringAt(subject, 'kind')) {
    case 'User':
      return name === user.username;
    case 'Group':
      return user.groups.includes(name);
    case 'ServiceAccount':
      return user.username === `system:serviceaccount:${stringAt(subject, 'namespace')}:${name}`;
    default:
      return false;
  }
}

function describe(binding: KubeObject, subject: JsonObject): string {
  const role = objectAt(binding, 'roleRef');
  const where = binding.metadata.namespace === undefined ? '' : `/${binding.metadata.namespace}`;
  const title = `${binding.kind} "${binding.metadata.name}${where}"`;
  return `RBAC: allowed by ${title} of ${stringAt(role, 'kind')} "${stringAt(role, 'name')}" to ${stringAt(subject, 'kind')} "${stringAt(subject, 'name')}"`;
}

export function createAuthorizer(storage: Storage): Authorizer {
  function rulesOf(binding: KubeObject): PolicyRule[] {
    const reference = objectAt(binding, 'roleRef');
    const name = stringAt(reference, 'name');
    const role =
      stringAt(reference, 'kind') === 'Role'
        ? storage.get(ROLES, binding.metadata.namespace ?? '', name)
        : storage.get(CLUSTER_ROLES, '', name);
    return objectsAt(role, 'rules').map(policyRule);
  }

  function* grants(user: Identity, namespace: string): Generator<Grant> {
    const bindings = storage.list(CLUSTER_ROLE_BINDINGS).items;
    if (namespace !== '') bindings.push(...storage.list(ROLE_BINDINGS, namespace).items);
    for (const binding of bindings) {
      const subject = objectsAt(binding, 'subjects').find((each) => names(each, user));
      if (subject === undefined) continue;
      const reason = describe(binding, subject);
      for (const rule of rulesOf(binding)) yield { rule, reason };
    }
  }

  const decide = (user: Identity, wanted: Attributes): Decision => {
    for (const { rule, reason } of grants(user, wanted.resource?.namespace ?? '')) {
      if (ruleAllows(rule, wanted)) return { allowed: true, reason };
    }
    return { allowed: false, reason: '' };
  };

  return {
    decide,
    require(user, wanted) {
      if (!decide(user, wanted).allowed) throw forbidden(user, wanted);
    },
    rulesFor: (user, namespace) => [...grants(user, namespace)].map((grant) => grant.rule),
  };
}

/** 403 in the API server's own wording. */
function forbidden(user: Identity, wanted: Attributes): StatusError {
  if (wanted.resource === undefined) {
    const message = `forbidden: User "${user.username}" cannot ${wanted.verb} path "${wanted.path}"`;
    return new StatusError(403, 'Forbidden', message, {});
  }
  const { group, namespace, resource, subresource, name } = wanted.resource;
  const what = qualified(group, resource) + (name === '' ? '' : ` "${name}"`);
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const message = `${what} is forbidden: User "${user.username}" cannot ${wanted.verb} resource "${full}" in API group "${group}" ${where}`;
  return new StatusError(403, 'Forbidden', message, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind: resource,
  });
}
