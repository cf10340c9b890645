import { describe, expect, it } from 'vitest';

import { parseJson } from '../../../../../demo/cluster/objects/json.ts';
import type { JsonValue } from '../../../../../demo/cluster/objects/json.ts';
import { StatusError } from '../../../../../demo/cluster/objects/status.ts';
import { jsonPatch } from '../../../../../demo/cluster/patch/json-patch.ts';
import { mergePatch } from '../../../../../demo/cluster/patch/merge.ts';
import { strategicMerge } from '../../../../../demo/cluster/patch/strategic.ts';

describe('JSON merge patch', () => {
  // The examples of RFC 7396, appendix A.
  it.each<[JsonValue, JsonValue, JsonValue]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });

  it('cannot reach the prototype', () => {
    const result = mergePatch({}, parseJson('{"__proto__":{"polluted":true}}'));
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
    expect(result).toEqual({});
  });
});

describe('JSON patch', () => {
  const target = { a: { b: [1, 2] }, 'x/y': 'z' };
  it.each<[JsonValue[], JsonValue]>([
    [[{ op: 'add', path: '/a/b/1', value: 9 }], { a: { b: [1, 9, 2] }, 'x/y': 'z' }],
    [[{ op: 'add', path: '/a/b/-', value: 9 }], { a: { b: [1, 2, 9] }, 'x/y': 'z' }],
    [[{ op: 'remove', path: '/x~1y' }], { a: { b: [1, 2] } }],
    [[{ op: 'replace', path: '/a/b/0', value: 7 }], { a: { b: [7, 2] }, 'x/y': 'z' }],
    [[{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: [1, 2], 'x/y': 'z' }],
    [
      [
        { op: 'copy', from: '/a/b/0', path: '/n' },
        { op: 'test', path: '/n', value: 1 },
      ],
      { ...target, n: 1 },
    ],
  ])('%j', (patch, result) => {
    expect(jsonPatch(target, patch)).toEqual(result);
  });

  it.each<[string, JsonValue]>([
    ['a failed test', [{ op: 'test', path: '/a', value: 1 }]],
    ['a path that is not there', [{ op: 'remove', path: '/nope' }]],
    ['an index beyond the end', [{ op: 'add', path: '/a/b/9', value: 1 }]],
    ['an unknown operation', [{ op: 'grow', path: '/a' }]],
    ['a pointer to the prototype', [{ op: 'add', path: '/__proto__/polluted', value: true }]],
    ['a pointer to an inherited name', [{ op: 'add', path: '/constructor/x', value: true }]],
    ['what is no list', { op: 'add' }],
  ])('refuses %s and changes nothing', (_what, patch) => {
    const before = structuredClone(target);
    expect(() => jsonPatch(target, patch)).toThrow(StatusError);
    expect(target).toEqual(before);
  });
});

describe('strategic merge patch', () => {
  const containers = [
    { name: 'web', image: 'web:1', env: [{ name: 'A', value: '1' }] },
    { name: 'log', image: 'log:1' },
  ];
  const target = {
    metadata: { finalizers: ['x'] },
    spec: { containers, args: ['a'], strategy: { type: 'a', extra: 1 } },
  };
  const spec = (patch: JsonValue): unknown => (strategicMerge(target, { spec: patch }) as typeof target).spec;

  it('merges lists of objects by their key', () => {
    expect(spec({ containers: [{ name: 'web', image: 'web:2', env: [{ name: 'B', value: '2' }] }] })).toMatchObject({
      containers: [
        {
          name: 'web',
          image: 'web:2',
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '2' },
          ],
        },
        { name: 'log', image: 'log:1' },
      ],
    });
  });

  it('replaces other lists', () => {
    expect(spec({ args: ['b', 'c'] })).toMatchObject({ args: ['b', 'c'] });
  });

  it('takes an item out, puts items in order, and replaces a list where told', () => {
    expect(spec({ containers: [{ name: 'web', $patch: 'delete' }] })).toMatchObject({ containers: [{ name: 'log' }] });
    expect(spec({ '$setElementOrder/containers': [{ name: 'log' }, { name: 'web' }] })).toMatchObject({
      containers: [{ name: 'log' }, { name: 'web' }],
    });
    expect(spec({ containers: [{ $patch: 'replace' }, { name: 'new' }] })).toMatchObject({
      containers: [{ name: 'new' }],
    });
  });

  it('merges sets, and takes values out of them', () => {
    expect(strategicMerge(target, { metadata: { finalizers: ['y', 'x'] } })).toMatchObject({
      metadata: { finalizers: ['x', 'y'] },
    });
    expect(strategicMerge(target, { metadata: { '$deleteFromPrimitiveList/finalizers': ['x'] } })).toMatchObject({
      metadata: { finalizers: [] },
    });
  });

  it('keeps only the keys that it is told to retain', () => {
    expect(spec({ strategy: { $retainKeys: ['type'], type: 'b' } })).toMatchObject({ strategy: { type: 'b' } });
    expect((spec({ strategy: { $retainKeys: ['type'] } }) as typeof target.spec).strategy).toEqual({ type: 'a' });
  });

  it('leaves no directive in what is stored', () => {
    const result = strategicMerge({}, { list: { $patch: 'replace', a: 1 }, gone: { $patch: 'delete' } });
    expect(result).toEqual({ list: { a: 1 } });
  });
});
