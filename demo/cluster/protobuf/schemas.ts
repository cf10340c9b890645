/**
 * Field numbers of the kinds that kubectl sends as protobuf. Enough for its reviews and `create` commands; what has no schema
 * here is answered with 415, and the client is to send JSON.
 * @see generated.proto of k8s.io/api and k8s.io/apimachinery
 */

export type FieldType = 'string' | 'bytes' | 'int' | 'bool' | 'intOrString' | Message;

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly shape: 'one' | 'list' | 'map';
}

/** Fields by number; those without an entry are passed over. */
export type Message = { readonly [number: number]: Field };

const one = (name: string, type: FieldType = 'string'): Field => ({ name, type, shape: 'one' });
const list = (name: string, type: FieldType = 'string'): Field => ({ name, type, shape: 'list' });
const map = (name: string, type: FieldType = 'string'): Field => ({ name, type, shape: 'map' });

const META: Message = {
  1: one('name'),
  2: one('generateName'),
  3: one('namespace'),
  5: one('uid'),
  6: one('resourceVersion'),
  11: map('labels'),
  12: map('annotations'),
  14: list('finalizers'),
};
const metadata = one('metadata', META);

const RESOURCE_ATTRIBUTES: Message = {
  1: one('namespace'),
  2: one('verb'),
  3: one('group'),
  4: one('version'),
  5: one('resource'),
  6: one('subresource'),
  7: one('name'),
};
const resourceAttributes = one('resourceAttributes', RESOURCE_ATTRIBUTES);
const nonResourceAttributes = one('nonResourceAttributes', { 1: one('path'), 2: one('verb') });

const SERVICE_PORT: Message = {
  1: one('name'),
  2: one('protocol'),
  3: one('port', 'int'),
  4: one('targetPort', 'intOrString'),
  5: one('nodePort', 'int'),
};
const SERVICE_SPEC: Message = {
  1: list('ports', SERVICE_PORT),
  2: map('selector'),
  3: one('clusterIP'),
  4: one('type'),
  7: one('sessionAffinity'),
  10: one('externalName'),
};

const AUTHENTICATION = 'authentication.k8s.io/v1';
const AUTHORIZATION = 'authorization.k8s.io/v1';

const DELETE_OPTIONS: Message = {
  2: one('preconditions', { 1: one('uid'), 2: one('resourceVersion') }),
  4: one('propagationPolicy'),
  5: list('dryRun'),
};

const RBAC = 'rbac.authorization.k8s.io/v1';
const POLICY_RULE: Message = {
  1: list('verbs'),
  2: list('apiGroups'),
  3: list('resources'),
  4: list('resourceNames'),
  5: list('nonResourceURLs'),
};
const ROLE: Message = { 1: metadata, 2: list('rules', POLICY_RULE) };
const SUBJECT: Message = { 1: one('kind'), 2: one('apiGroup'), 3: one('name'), 4: one('namespace') };
const BINDING: Message = {
  1: metadata,
  2: list('subjects', SUBJECT),
  3: one('roleRef', { 1: one('apiGroup'), 2: one('kind'), 3: one('name') }),
};

/** By `apiVersion` and `kind`. */
export const SCHEMAS: Readonly<Record<string, Message>> = {
  'v1 ConfigMap': { 1: metadata, 2: map('data'), 3: map('binaryData', 'bytes'), 4: one('immutable', 'bool') },
  'v1 Secret': { 1: metadata, 2: map('data', 'bytes'), 3: one('type'), 4: map('stringData') },
  'v1 Namespace': { 1: metadata },
  'v1 ServiceAccount': { 1: metadata, 4: one('automountServiceAccountToken', 'bool') },
  [`${RBAC} Role`]: ROLE,
  [`${RBAC} ClusterRole`]: ROLE,
  [`${RBAC} RoleBinding`]: BINDING,
  [`${RBAC} ClusterRoleBinding`]: BINDING,
  'v1 Service': { 1: metadata, 2: one('spec', SERVICE_SPEC) },
  'v1 DeleteOptions': DELETE_OPTIONS,
  'meta.k8s.io/v1 DeleteOptions': DELETE_OPTIONS,
  [`${AUTHENTICATION} SelfSubjectReview`]: { 1: metadata },
  [`${AUTHENTICATION} TokenReview`]: { 1: metadata, 2: one('spec', { 1: one('token'), 2: list('audiences') }) },
  [`${AUTHORIZATION} SelfSubjectAccessReview`]: {
    1: metadata,
    2: one('spec', { 1: resourceAttributes, 2: nonResourceAttributes }),
  },
  [`${AUTHORIZATION} SelfSubjectRulesReview`]: { 1: metadata, 2: one('spec', { 1: one('namespace') }) },
  [`${AUTHORIZATION} SubjectAccessReview`]: {
    1: metadata,
    2: one('spec', {
      1: resourceAttributes,
      2: nonResourceAttributes,
      3: one('user'),
      4: list('groups'),
      6: one('uid'),
    }),
  },
};
