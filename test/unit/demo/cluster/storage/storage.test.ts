import { describe, expect, it } from 'vitest';

import type { KubeObject } from '../../../../../demo/cluster/objects/kube-object.ts';
import { PODS } from '../../../../../demo/cluster/resources.ts';
import { createStorage } from '../../../../../demo/cluster/storage/storage.ts';
import type { Change } from '../../../../../demo/cluster/storage/storage.ts';

const pod = (name: string, rest: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  ...rest,
});
const storage = () => createStorage(() => new Date('2026-01-02T03:04:05.678Z'));
const summary = (changes: Change[]): string[] =>
  changes.map((change) => `${change.type} ${change.object.metadata.name}`);

describe('storage', () => {
  it('gives a new object uid, time and number', () => {
    const { metadata } = storage().create(PODS, pod('a'));
    expect(metadata).toMatchObject({ creationTimestamp: '2026-01-02T03:04:05Z', resourceVersion: '2' });
    expect(metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('refuses a second object of the same name', () => {
    const objects = storage();
    objects.create(PODS, pod('a'));
    expect(() => objects.create(PODS, pod('a'))).toThrow('pods "a" already exists');
  });

  it('refuses an update that was made from an older version', () => {
    const objects = storage();
    const first = objects.create(PODS, pod('a'));
    objects.update(PODS, pod('a', { spec: { x: 1 } }));
    expect(() => objects.update(PODS, first)).toThrow(
      'Operation cannot be fulfilled on pods "a": the object has been modified',
    );
  });

  it('refuses an update that means another object of the same name', () => {
    const objects = storage();
    objects.create(PODS, pod('a'));
    const other = pod('a');
    other.metadata.uid = 'another';
    expect(() => objects.update(PODS, other)).toThrow('Precondition failed: UID');
  });

  it('keeps uid and time through an update, and the number where nothing changed', () => {
    const objects = storage();
    const made = objects.create(PODS, pod('a'));
    expect(objects.update(PODS, pod('a'))).toBe(made);
    const changed = objects.update(PODS, pod('a', { spec: { x: 1 } }));
    expect(changed.metadata).toMatchObject({
      uid: made.metadata.uid,
      creationTimestamp: made.metadata.creationTimestamp,
    });
    expect(changed.metadata.resourceVersion).toBe('3');
  });

  it('keeps a change of the caller’s object out of what is stored', () => {
    const objects = storage();
    const mine = pod('a', { spec: { x: 1 } });
    objects.create(PODS, mine);
    mine['spec'] = { x: 2 };
    expect(objects.get(PODS, 'default', 'a')).toMatchObject({ spec: { x: 1 } });
  });

  it('tells a watch what happened since a number, and then what happens', () => {
    const objects = storage();
    objects.create(PODS, pod('a'));
    const { resourceVersion } = objects.list(PODS);
    objects.create(PODS, pod('b'));
    const changes: Change[] = [];
    const stop = objects.subscribe(PODS, Number(resourceVersion), (change) => changes.push(change));
    objects.update(PODS, pod('b', { spec: {} }));
    objects.remove(PODS, 'default', 'a');
    stop();
    objects.create(PODS, pod('c'));
    expect(summary(changes)).toEqual(['ADDED b', 'MODIFIED b', 'DELETED a']);
    expect(changes.map((change) => change.object.metadata.resourceVersion)).toEqual(['3', '4', '5']);
  });

  it('sends a watch that comes back too late to list again', () => {
    const objects = storage();
    for (let count = 0; count < 1100; count += 1) objects.create(PODS, pod(`p${count}`));
    expect(() => objects.subscribe(PODS, 5, () => undefined)).toThrow('too old resource version: 5');
    expect(() => objects.subscribe(PODS, 1000, () => undefined)).not.toThrow();
  });
});
