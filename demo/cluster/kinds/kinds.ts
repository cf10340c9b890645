/** What is particular to a kind: its defaults, its validation, and the status that the cluster gives it. */
import { isIP } from 'node:net';

import { isJsonObject, objectAt, objectsAt, stringAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { FieldError } from '../objects/status.ts';
import type { ResourceType } from '../resources.ts';
import { addressFor } from './addresses.ts';
import { labelError, required, subdomainError } from './names.ts';
import type { Kind } from './kind.ts';
import { podKind } from './pods.ts';

const nameOnly =
  (error: typeof labelError) =>
  (object: KubeObject): FieldError[] => {
    const found = error('metadata.name', object.metadata.name ?? '');
    return found === undefined ? [] : [found];
  };

const plain: Kind = { errors: nameOnly(subdomainError) };

function stringMapErrors(object: KubeObject, key: string): FieldError[] {
  const map = object[key];
  if (map === undefined || map === null) return [];
  const good = isJsonObject(map) && Object.values(map).every((value) => typeof value === 'string');
  return good
    ? []
    : [{ field: key, reason: 'FieldValueInvalid', message: 'Invalid value: every value must be a string' }];
}

const configMap: Kind = {
  errors: (object) => [
    ...plain.errors(object),
    ...stringMapErrors(object, 'data'),
    ...stringMapErrors(object, 'binaryData'),
  ],
};

const secret: Kind = {
  complete(object) {
    object['type'] ??= 'Opaque';
    const plainText = Object.entries(objectAt(object, 'stringData')).map(
      ([key, value]) => [key, Buffer.from(typeof value === 'string' ? value : '').toString('base64')] as const,
    );
    if (plainText.length > 0) object['data'] = { ...objectAt(object, 'data'), ...Object.fromEntries(plainText) };
    delete object['stringData'];
  },
  errors: (object) => [...plain.errors(object), ...stringMapErrors(object, 'data')],
};

const namespace: Kind = {
  complete(object) {
    object['spec'] ??= { finalizers: ['kubernetes'] };
    object.metadata['labels'] = {
      ...objectAt(object.metadata, 'labels'),
      'kubernetes.io/metadata.name': object.metadata.name ?? '',
    };
  },
  errors: nameOnly(labelError),
  status: () => ({ phase: 'Active' }),
};

const service: Kind = {
  complete(object) {
    const spec = objectAt(object, 'spec');
    const address = stringAt(spec, 'clusterIP') || addressFor(object, '203.0.113.');
    object['spec'] = {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ...spec,
      clusterIP: address,
      clusterIPs: [address],
      ports: objectsAt(spec, 'ports').map((port) => ({
        ...port,
        protocol: port['protocol'] ?? 'TCP',
        targetPort: port['targetPort'] ?? port['port'] ?? 0,
      })),
    };
  },
  errors(object) {
    const spec = objectAt(object, 'spec');
    const address = stringAt(spec, 'clusterIP');
    const bad = address !== 'None' && isIP(address) === 0;
    return [
      ...nameOnly(labelError)(object),
      ...(objectsAt(spec, 'ports').length === 0 && address !== 'None' ? [required('spec.ports')] : []),
      ...(bad
        ? [
            {
              field: 'spec.clusterIPs[0]',
              reason: 'FieldValueInvalid',
              message: 'Invalid value: must be a valid IP address',
            } as const,
          ]
        : []),
    ];
  },
  status: () => ({ loadBalancer: {} }),
};

const KINDS: Readonly<Record<string, Kind>> = {
  pods: podKind,
  configmaps: configMap,
  secrets: secret,
  namespaces: namespace,
  services: service,
};

/** RBAC names may hold colons. */
const free: Kind = { errors: () => [] };

export const kindOf = (resource: ResourceType): Kind =>
  resource.group === '' ? (KINDS[resource.resource] ?? plain) : free;
