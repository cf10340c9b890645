import { describe, expect, it } from 'vitest';

import type { KubeObject } from '../../../../../demo/cluster/objects/kube-object.ts';
import { PODS } from '../../../../../demo/cluster/resources.ts';
import { selectorOf } from '../../../../../demo/cluster/storage/selectors.ts';

const pod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', namespace: 'default', labels: { app: 'web', tier: 'front' } },
  status: { phase: 'Running' },
};
const selects = (parameters: Record<string, string>): boolean => selectorOf(PODS, new URLSearchParams(parameters))(pod);

describe('label selectors', () => {
  it.each([
    ['app=web', true],
    ['app==web,tier=front', true],
    ['app=web,tier=back', false],
    ['app!=web', false],
    ['other!=web', true],
    ['app', true],
    ['!app', false],
    ['!other', true],
    ['app in (web, api)', true],
    ['app in (api),tier=front', false],
    ['app notin (api)', true],
    ['constructor', false],
    ['', true],
  ])('%s', (labelSelector, expected) => {
    expect(selects({ labelSelector })).toBe(expected);
  });

  it('that cannot be read are refused', () => {
    expect(() => selects({ labelSelector: 'app in web' })).toThrow('unable to parse requirement');
  });
});

describe('field selectors', () => {
  it.each([
    ['metadata.name=web-1', true],
    ['metadata.name!=web-1', false],
    ['status.phase=Running,metadata.namespace=default', true],
    ['status.phase=Pending', false],
  ])('%s', (fieldSelector, expected) => {
    expect(selects({ fieldSelector })).toBe(expected);
  });

  it('by another field are refused', () => {
    expect(() => selects({ fieldSelector: 'spec.image=x' })).toThrow('field label not supported: spec.image');
  });
});
