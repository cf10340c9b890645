import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KUBERNETES_EXAMPLE } from '../../scripts/kubernetes-example.ts';
import { podTemplateOf } from '../support/chart-pods.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { CHART, DEPLOY_TESTS, objectsIn, rendered, SHAPES, valuesOf, type KubernetesObject } from '../support/chart.ts';
import { startBareApiServer, type BareApiServer } from './bare-api-server.ts';

/** Kinds of others' definitions, which a bare API server does not know. */
const FOREIGN = new Set(['Certificate', 'HTTPRoute', 'ServiceMonitor', 'PrometheusRule']);

describe('the chart before a real API server', () => {
  let server: BareApiServer;
  beforeAll(async () => {
    server = await startBareApiServer();
    await done(['create', 'namespace', 'portcullis']);
    await done(['label', 'namespace', 'portcullis', 'pod-security.kubernetes.io/enforce=restricted']);
  });
  afterAll(() => server.close());

  async function done(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await server.kubectl(args, input);
    expect(code, stderr).toBe(0);
    return stdout;
  }

  /** Nothing is kept; unknown and repeated fields are rejected. @returns what the server said of each */
  async function tried(objects: readonly KubernetesObject[]): Promise<readonly string[]> {
    const known = objects.filter(({ kind }) => !FOREIGN.has(kind));
    const text = known.map((object) => stringify(object)).join('---\n');
    const args = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--namespace', 'portcullis'];
    const said = (await done([...args, '--filename', '-'], text)).trim().split('\n');
    expect(said).toHaveLength(known.length);
    return said;
  }

  it.each(SHAPES)('takes every manifest of the shape %s', async (shape) => {
    const monitoring = shape === 'small' ? ['--set', 'grafanaDashboards.enabled=true,prometheusRule.enabled=true'] : [];
    for (const line of await tried(await rendered('--values', valuesOf(shape), ...monitoring))) {
      expect(line).toMatch(/serverside-applied \(server dry run\)$/);
    }
  });

  it('takes the plain manifests of deploy/examples', async () => {
    expect((await tried(objectsIn(await readFile(KUBERNETES_EXAMPLE, 'utf8')))).length).toBeGreaterThan(8);
  });

  it('lets the pods into a namespace of level “restricted”', async () => {
    const objects = [
      ...(await rendered('--values', valuesOf('small'))),
      ...(await rendered('--values', valuesOf('ha'))),
    ];
    const workloads = objects.filter(({ kind }) => ['Deployment', 'StatefulSet', 'Pod'].includes(kind));
    expect(workloads).toHaveLength(6);
    for (const workload of workloads) {
      const { metadata, spec } = podTemplateOf(workload);
      const claimed = workload.kind === 'StatefulSet' ? [{ name: 'data', emptyDir: {} }] : [];
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...metadata, name: `try-${workload.metadata.name}` },
        spec: { ...spec, volumes: [...spec.volumes, ...claimed] },
      };
      const args = ['create', '--dry-run=server', '--namespace', 'portcullis', '--filename', '-'];
      expect(await done(args, stringify(pod))).toMatch(/created \(server dry run\)/);
      // And that this namespace would have kept out one that is not sound.
      const loose = { ...pod, spec: { ...pod.spec, hostNetwork: true } };
      expect((await server.kubectl(args, stringify(loose))).stderr).toMatch(/violates PodSecurity "restricted/);
    }
  });

  describe('for an operator who installed 0.1.0', () => {
    const values = ['--namespace', 'portcullis', '--values', join(DEPLOY_TESTS, 'values-0.1.0.yaml')];
    const helm = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await server.helm(args);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    const secret = (name: string): Promise<string> =>
      done(['get', 'secret', name, '--namespace', 'portcullis', '--output', 'jsonpath={.data}']);

    it('installs, and upgrades without a new password or certificate for Redis', async () => {
      expect(await helm('install', 'portcullis', CHART, ...values)).toContain('STATUS: deployed');
      const names = ['portcullis-redis-auth', 'portcullis-redis-tls'];
      const before = await Promise.all(names.map(secret));
      expect(before.every((data) => data.length > 40)).toBe(true);
      await helm('upgrade', 'portcullis', CHART, ...values, '--set', 'replicas=5');
      expect(await Promise.all(names.map(secret))).toEqual(before);
      const args = [
        'get',
        'deployment',
        'portcullis',
        '--namespace',
        'portcullis',
        '--output',
        'jsonpath={.spec.replicas}',
      ];
      expect(await done(args)).toBe('5');
    });

    it('is told what to do before one node of Redis becomes three, and then gets them', async () => {
      const block = pageBlock('docs/ha-store.md', 'kubectl --namespace portcullis delete statefulset');
      const [advice = '', upgrade = ''] = block.trim().split('\n');
      const here = withValues(upgrade, {
        'deploy/chart': CHART,
        'values.yaml': join(DEPLOY_TESTS, 'values-0.1.0.yaml'),
      });
      const three = [...here.split(' ').slice(1), '--set', 'redis.inChart.replicas=3'];
      const { code, stderr } = await server.helm(three);
      expect(code).not.toBe(0);
      expect(stderr).toContain(advice);
      await done(advice.split(' ').slice(1));
      await helm(...three);
      const args = ['get', 'statefulset', 'portcullis-redis', '--namespace', 'portcullis', '--output'];
      expect(await done([...args, 'jsonpath={.spec.replicas} {.spec.podManagementPolicy}'])).toBe('3 Parallel');
      const before = await secret('portcullis-redis-ha');
      await helm(...three);
      expect(await secret('portcullis-redis-ha')).toBe(before);
    });

    it('leaves Redis’ secrets and data when it is uninstalled, and takes the rights away', async () => {
      await helm('uninstall', 'portcullis', '--namespace', 'portcullis');
      expect(await secret('portcullis-redis-auth')).toContain('password');
      expect((await server.kubectl(['get', 'clusterrole', 'portcullis-portcullis-impersonator'])).stderr).toContain(
        'NotFound',
      );
    });
  });
});
