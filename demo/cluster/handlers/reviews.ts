/** The questions that a cluster answers about users: who am I, whose token is this, may they do this, what may I do. */
import type { Identity } from '../../../src/core/identity/identity.ts';
import { isJsonObject, objectAt, stringAt, stringsAt } from '../objects/json.ts';
import type { JsonObject } from '../objects/json.ts';
import { kubeTime } from '../objects/kube-object.ts';
import { badRequest, invalid } from '../objects/status.ts';
import type { Attributes, PolicyRule } from '../rbac/rules.ts';
import { apiVersionOf } from '../resources.ts';
import { readObject } from './body.ts';
import type { ClusterParts, ResourceCall } from './call.ts';
import { writeJson } from './reply.ts';

const userInfo = (user: Identity): JsonObject => ({
  username: user.username,
  ...(user.uid === '' ? {} : { uid: user.uid }),
  groups: [...user.groups],
  ...(Object.keys(user.extra).length === 0
    ? {}
    : { extra: Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]])) }),
});

/** `resourceAttributes` or `nonResourceAttributes`, of which there must be exactly one. */
function attributesOf(kind: string, spec: JsonObject): Attributes {
  const resource = spec['resourceAttributes'];
  const path = spec['nonResourceAttributes'];
  if (isJsonObject(resource) === isJsonObject(path)) {
    const message = 'Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    const error = { field: 'spec.resourceAttributes', reason: 'FieldValueInvalid', message } as const;
    throw invalid('authorization.k8s.io', kind, '', [error]);
  }
  if (isJsonObject(path)) return { verb: stringAt(path, 'verb'), path: stringAt(path, 'path') };
  const given = isJsonObject(resource) ? resource : {};
  return {
    verb: stringAt(given, 'verb'),
    resource: {
      group: stringAt(given, 'group'),
      namespace: stringAt(given, 'namespace'),
      resource: stringAt(given, 'resource'),
      subresource: stringAt(given, 'subresource'),
      name: stringAt(given, 'name'),
    },
  };
}

function access(parts: ClusterParts, user: Identity, wanted: Attributes): JsonObject {
  const { allowed, reason } = parts.authorizer.decide(user, wanted);
  return { allowed, ...(reason === '' ? {} : { reason }) };
}

/** The user that a SubjectAccessReview asks about; no group is added to those that it names. */
function subjectOf(spec: JsonObject): Identity {
  const username = stringAt(spec, 'user');
  const groups = stringsAt(spec, 'groups');
  if (username === '' && groups.length === 0) {
    const message = 'Required value: at least one of user or group must be specified';
    throw invalid('authorization.k8s.io', 'SubjectAccessReview', '', [
      { field: 'spec.user', reason: 'FieldValueRequired', message },
    ]);
  }
  return { username, uid: stringAt(spec, 'uid'), groups, extra: {} };
}

function tokenStatus(parts: ClusterParts, spec: JsonObject): JsonObject {
  const found = parts.authenticator.review(stringAt(spec, 'token'));
  if (found === undefined) return { user: {}, error: '[invalid bearer token]' };
  return { authenticated: true, user: userInfo(found) };
}

const present = (entries: [string, readonly string[]][]): JsonObject =>
  Object.fromEntries(entries.filter(([, values]) => values.length > 0).map(([key, values]) => [key, [...values]]));

const resourceRule = (rule: PolicyRule): JsonObject =>
  present([
    ['verbs', rule.verbs],
    ['apiGroups', rule.apiGroups],
    ['resources', rule.resources],
    ['resourceNames', rule.resourceNames],
  ]);

function rulesStatus(parts: ClusterParts, user: Identity, namespace: string): JsonObject {
  const rules = parts.authorizer.rulesFor(user, namespace);
  const paths = rules.filter((rule) => rule.nonResourceURLs.length > 0);
  return {
    resourceRules: rules.filter((rule) => rule.resources.length > 0).map(resourceRule),
    nonResourceRules: paths.map(({ verbs, nonResourceURLs }) => ({
      verbs: [...verbs],
      nonResourceURLs: [...nonResourceURLs],
    })),
    incomplete: false,
  };
}

function statusOf(parts: ClusterParts, call: ResourceCall, spec: JsonObject): JsonObject {
  const { kind } = call.resource;
  switch (kind) {
    case 'SelfSubjectReview':
      return { userInfo: userInfo(call.user) };
    case 'TokenReview':
      return tokenStatus(parts, spec);
    case 'SelfSubjectAccessReview':
      return access(parts, call.user, attributesOf(kind, spec));
    case 'SubjectAccessReview':
      return access(parts, subjectOf(spec), attributesOf(kind, spec));
    default: {
      const namespace = stringAt(spec, 'namespace');
      if (namespace === '') throw badRequest('no namespace on request');
      return rulesStatus(parts, call.user, namespace);
    }
  }
}

/** Answers a review that was created; nothing is kept, and a token that was sent is not sent back. */
export async function review(parts: ClusterParts, call: ResourceCall): Promise<void> {
  const body = (await readObject(call.request)) ?? {};
  const kind = stringAt(body, 'kind');
  if (kind !== '' && kind !== call.resource.kind)
    throw badRequest(`${kind} cannot be handled as a ${call.resource.kind}`);
  const { token: _token, ...spec } = objectAt(body, 'spec');
  const self = call.resource.kind === 'SelfSubjectReview';
  writeJson(call.response, 201, {
    apiVersion: apiVersionOf(call.resource),
    kind: call.resource.kind,
    metadata: { creationTimestamp: self ? kubeTime(parts.now()) : null },
    ...(self ? {} : { spec }),
    status: statusOf(parts, call, objectAt(body, 'spec')),
  });
}
