import { describe, expect, it } from 'vitest';

import type { KubeObject } from '../../../../demo/cluster/objects/kube-object.ts';
import { wantedForm } from '../../../../demo/cluster/handlers/reply.ts';
import { logLines } from '../../../../demo/cluster/pods/log-source.ts';
import { humanDuration } from '../../../../demo/cluster/tables/duration.ts';

describe('the AGE column', () => {
  it.each([
    [-5, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [185, '3m5s'],
    [600, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 61, '3h1m'],
    [9 * 3600, '9h'],
    [50 * 3600, '2d2h'],
    [10 * 86_400, '10d'],
    [730 * 86_400 + 86_400, '2y1d'],
    [9 * 365 * 86_400, '9y'],
  ])('%d seconds are %s', (seconds, shown) => {
    expect(humanDuration(seconds)).toBe(shown);
  });
});

describe('the form of an answer', () => {
  it.each([
    [undefined, 'object'],
    ['application/json, */*', 'object'],
    ['application/vnd.kubernetes.protobuf,application/json', 'object'],
    ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json', 'table'],
    ['application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json', 'object'],
  ])('for %s is %s', (accept, form) => {
    expect(wantedForm(accept)).toBe(form);
  });

  it('is refused where there is none in common', () => {
    expect(() => wantedForm('application/yaml')).toThrow('only the following media types are accepted');
  });
});

describe('a log', () => {
  const pod: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata: { creationTimestamp: '2026-01-02T03:04:00Z' } };
  const at = (seconds: number) => logLines(pod, 'web', new Date(Date.parse('2026-01-02T03:04:00Z') + seconds * 1000));

  it('grows by one line a second', () => {
    expect(at(0).lines.map((line) => line.text)).toEqual([
      'web: starting',
      'web: configuration read',
      'web: listening on :8080',
    ]);
    expect(at(2.5).lines.at(-1)).toEqual({ at: new Date('2026-01-02T03:04:02Z'), text: 'web: request 2: GET / 200' });
  });

  it('keeps the last thousand lines', () => {
    expect(at(5000)).toMatchObject({ first: 4003 });
    expect(at(5000).lines).toHaveLength(1000);
  });
});
