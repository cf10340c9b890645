/** What holds for every request target: what is decided on is what is forwarded, for any reader. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clusterDirectory, selectCluster } from '../../../../src/core/request/cluster-selection.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import { requestPath } from '../../../../src/core/request/request-path.ts';

const RUNS = { numRuns: 2000 };
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

const piece = fc.oneof(
  fc.constantFrom(
    '/',
    '/',
    '//',
    '.',
    '..',
    '...',
    ';',
    '%2e',
    '%252e',
    '%2F',
    '%5C',
    '\\',
    '#',
    '?',
    '%',
    '%C3%A9',
    '%00',
  ),
  fc.constantFrom(
    'api',
    'apis',
    'v1',
    'namespaces',
    'ns',
    'pods',
    'proxy',
    'watch',
    'exec',
    'a',
    '=',
    '&',
    '@',
    ':',
    '*',
  ),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const anyTarget = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(''));
const target = anyTarget.map((text) => `/${text}`);

describe('request targets', () => {
  test('that pass come out as they went in, and pass again', () => {
    fc.assert(
      fc.property(fc.constantFrom(...METHODS), target, (method, text) => {
        const judged = requestPath(method, text);
        if (!judged.ok) return;
        const { path, query } = judged.value;
        expect(judged.value.target).toBe(text);
        expect(text === path || text === `${path}?${query}`).toBe(true);
        expect(requestPath(method, judged.value.target)).toEqual(judged);
      }),
      RUNS,
    );
  });

  test('that pass are about what stands in them: no segment leads anywhere else, decoded once or twice', () => {
    fc.assert(
      fc.property(target, (text) => {
        const judged = requestPath('GET', text);
        if (!judged.ok) return;
        const info = requestInfo('GET', judged.value.target);
        expect(info.path).toBe(decodeURIComponent(judged.value.path));
        for (const part of [...info.parts, info.namespace]) {
          expect(part).not.toMatch(/^\.{1,2}$/);
          expect(part).not.toMatch(/[/\\\p{Cc}]/u);
        }
        // A reader that resolves dots after decoding arrives at the same place.
        const segments = info.path.split('/');
        expect(segments.filter((segment) => segment === '.' || segment === '..')).toEqual([]);
      }),
      RUNS,
    );
  });

  test('are judged whatever comes, by any method, and a method that Kubernetes does not have never passes', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom('TRACE', 'get', 'PROPFIND', 'CONNECT', ''), fc.string()),
        anyTarget,
        (method, text) => {
          const judged = requestPath(method, text);
          expect(judged.ok && !METHODS.includes(method)).toBe(false);
          expect(() => requestInfo(method, text)).not.toThrow();
        },
      ),
      RUNS,
    );
  });
});

describe('request info', () => {
  const name = fc
    .stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z0-9]$/)
    .filter((text) => !['watch', 'proxy', 'namespaces'].includes(text));

  test('reads a path back as it was built', () => {
    const place = fc.record({
      group: fc.option(name),
      namespace: fc.option(name),
      resource: name,
      object: fc.option(name),
      subresource: fc.option(name),
    });
    fc.assert(
      fc.property(place, ({ group, namespace, resource, object, subresource }) => {
        // These two are subresources of the namespace itself.
        fc.pre(!['status', 'finalize'].includes(resource));
        const parts = [resource, ...(object === null ? [] : [object, ...(subresource === null ? [] : [subresource])])];
        const root = group === null ? ['api', 'v1'] : ['apis', group, 'v1'];
        const path = ['', ...root, ...(namespace === null ? [] : ['namespaces', namespace]), ...parts].join('/');
        expect(requestInfo('GET', path)).toMatchObject({
          isResourceRequest: true,
          apiGroup: group ?? '',
          namespace: namespace ?? '',
          resource,
          name: object ?? '',
          subresource: parts[2] ?? '',
          parts,
          verb: object === null ? 'list' : 'get',
        });
      }),
      RUNS,
    );
  });

  test('takes the first `watch` and no other, as Kubernetes does', () => {
    const value = fc.constantFrom('', '0', '1', 'true', 'false', 'FALSE', 'False', 'yes', '%30', 'f%61lse');
    const pair = fc.oneof(
      value.map((text) => `watch=${text}`),
      fc.constantFrom('limit=5', 'a', 'Watch=1', 'xwatch=1'),
    );
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 5 }), (pairs) => {
        const first = new URLSearchParams(pairs.join('&')).get('watch');
        const watching = first !== null && first !== '0' && first.toLowerCase() !== 'false';
        const info = requestInfo('GET', `/api/v1/pods?${pairs.join('&')}`);
        expect([info.verb, info.longRunning]).toEqual([watching ? 'watch' : 'list', watching]);
      }),
      RUNS,
    );
  });
});

describe('the choice of a cluster', () => {
  const directory = clusterDirectory([
    { name: 'prod', hosts: ['prod.k8s.test'] },
    { name: 'dev', hosts: ['dev.k8s.test'] },
  ]);

  test('does not depend on how a host is written', () => {
    const spelt = fc
      .tuple(
        fc.constantFrom('prod', 'dev'),
        fc.array(fc.boolean(), { minLength: 13, maxLength: 13 }),
        fc.constantFrom('', '.'),
        fc.constantFrom('', ':443', ':6443'),
      )
      .map(([name, capitals, dot, port]) => ({
        name,
        host:
          Array.from(`${name}.k8s.test`)
            .map((letter, index) => (capitals[index] === true ? letter.toUpperCase() : letter))
            .join('') +
          dot +
          port,
      }));
    fc.assert(
      fc.property(spelt, anyTarget, ({ name, host }, text) => {
        const selected = selectCluster(directory, { hosts: [host], serverName: 'dev.k8s.test', target: text });
        expect(selected).toEqual({ ok: true, value: { cluster: name, target: text, prefix: '' } });
      }),
      RUNS,
    );
  });

  test('only ever cuts a prefix off a target, and only where no host has chosen', () => {
    const prefixed = fc
      .tuple(fc.constantFrom('/clusters/prod', '/clusters/dev', '/clusters/', '/Clusters/prod', ''), anyTarget)
      .map((parts) => parts.join(''));
    const host = fc.oneof(
      fc.constantFrom('prod.k8s.test', 'other.test', '127.0.0.1', '[::1]:6443', 'a@prod.k8s.test'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(host, { maxLength: 2 }), prefixed, (hosts, text) => {
        const selected = selectCluster(directory, { hosts, target: text });
        if (!selected.ok) return;
        const { cluster, target: rest } = selected.value;
        if (rest === text) return;
        expect([`/clusters/${cluster}${rest}`, `/clusters/${cluster}${rest.slice(1)}`]).toContain(text);
        expect(hosts.map((each) => each.toLowerCase())).not.toContain(`${cluster}.k8s.test`);
      }),
      RUNS,
    );
  });
});
