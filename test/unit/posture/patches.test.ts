import { describe, expect, test } from 'vitest';
import type { JsonRecord } from '../../../src/posture/rules/json.ts';
import { find, object } from './objects.ts';

describe('a patch that mounts Secrets', () => {
  const from = (secret: string, more: JsonRecord = {}) => ({ secretRef: { name: secret, ...more } });
  const podSpecOf = (sources: readonly JsonRecord[], volumes: readonly JsonRecord[] = []) => {
    const spec = { volumes, containers: [{ name: 'main', envFrom: sources }] };
    const deployments = [object('shop', 'web', { spec: { template: { spec } } })];
    const command = find({ deployments }, 'secret-in-environment')[0]?.fix.at(-1) ?? '';
    const patch = JSON.parse(command.slice(command.indexOf("'") + 1, -1)) as {
      spec: { template: { spec: { volumes: { name: string; secret: JsonRecord }[]; containers: JsonRecord[] } } };
    };
    return patch.spec.template.spec;
  };

  test('has a volume for each, whatever their names have in common', () => {
    const names = ['a.b', 'a-b', `${'x'.repeat(60)}1`, `${'x'.repeat(60)}2`];
    const { volumes, containers } = podSpecOf(names.map((name) => from(name)));
    expect(new Set(volumes.map(({ name }) => name)).size).toBe(4);
    expect(volumes.map(({ secret }) => secret['secretName'])).toEqual(names);
    const mounts = containers[0]?.['volumeMounts'] as { name: string; mountPath: string }[];
    expect(mounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
  });

  test('takes no volume that the pod has for something else', () => {
    const { volumes } = podSpecOf([from('db')], [{ name: 'secret-db', emptyDir: {} }]);
    expect(volumes.map(({ name }) => name)).toEqual(['secret-db-2']);
  });

  test('lets the pod start without one that was optional everywhere', () => {
    const { volumes } = podSpecOf([from('a', { optional: true }), from('b', { optional: true }), from('b')]);
    expect(volumes.map(({ secret }) => secret)).toEqual([{ secretName: 'a', optional: true }, { secretName: 'b' }]);
  });
});

describe('a ConfigMap that kubectl applied', () => {
  const APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
  const applied = (data: JsonRecord) => ({
    metadata: { annotations: { [APPLIED]: JSON.stringify({ data: { password: 'correct-horse' } }) } },
    data,
  });
  const found = (rest: JsonRecord) =>
    find({ configmaps: [object('shop', 'settings', rest)] }, 'credential-in-configmap');
  const patchOf = (fix: string | undefined): unknown => JSON.parse((fix ?? '').slice((fix ?? '').indexOf("'") + 1, -1));
  const annotation = { op: 'remove', path: '/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration' };

  test('loses the value in its annotation too', () => {
    const [finding] = found(applied({ password: 'correct-horse' }));
    expect(finding?.evidence).toBe('key password looks like a credential by its name (no value is shown)');
    expect(patchOf(finding?.fix.at(-1))).toEqual([{ op: 'remove', path: '/data/password' }, annotation]);
  });

  test('is found while the value is there alone', () => {
    const [finding] = found(applied({}));
    expect(finding?.evidence).toContain('key password of the manifest that was applied last looks like');
    expect(patchOf(finding?.fix.at(-1))).toEqual([annotation]);
  });

  test('that cannot be changed, or has very many keys, gets a comment instead of a command', () => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`${index}-password`, 'correct-horse']));
    for (const rest of [{ data: many }, { ...applied({ password: 'correct-horse' }), immutable: true }]) {
      const fix = found(rest)[0]?.fix ?? [];
      expect(fix.filter((line) => !line.startsWith('# '))).toEqual([]);
      expect(fix.at(-1)).toContain('create ConfigMap/settings again');
    }
  });
});
