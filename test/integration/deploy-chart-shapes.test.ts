/**
 * The rendered chart in its main shapes: equal to the golden files, valid manifests, and a configuration that our
 * loader accepts.
 */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadAsDeployed } from '../support/chart-config.ts';
import { podTemplateOf, type PodTemplate } from '../support/chart-pods.ts';
import {
  goldenOf,
  helm,
  readGolden,
  rendered,
  SHAPES,
  template,
  valuesOf,
  CHART,
  type KubernetesObject,
} from '../support/chart.ts';

/** PORTCULLIS_UPDATE_GOLDEN=1 rewrites them. */
const UPDATE = process.env['PORTCULLIS_UPDATE_GOLDEN'] === '1';

/** Masks the random values of each rendering: the password and certificates of the chart's own Redis. */
const steady = (text: string): string =>
  text.replaceAll(/^( {2}(?:(?:[a-z]+-)?password|ca\.crt|tls\.crt|tls\.key): ).+$/gm, '$1…');

/** Every allowed kind with its version, so that a typing error is found. */
const KINDS: Readonly<Record<string, string>> = {
  Certificate: 'cert-manager.io/v1',
  ClusterRole: 'rbac.authorization.k8s.io/v1',
  ClusterRoleBinding: 'rbac.authorization.k8s.io/v1',
  ConfigMap: 'v1',
  CronJob: 'batch/v1',
  Deployment: 'apps/v1',
  HTTPRoute: 'gateway.networking.k8s.io/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  Ingress: 'networking.k8s.io/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  Pod: 'v1',
  PodDisruptionBudget: 'policy/v1',
  Role: 'rbac.authorization.k8s.io/v1',
  RoleBinding: 'rbac.authorization.k8s.io/v1',
  Secret: 'v1',
  Service: 'v1',
  ServiceAccount: 'v1',
  ServiceMonitor: 'monitoring.coreos.com/v1',
  StatefulSet: 'apps/v1',
};
const DNS_1123 = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const workloads = (objects: readonly KubernetesObject[]): readonly (readonly [string, PodTemplate])[] =>
  objects
    .filter(({ kind }) => ['Deployment', 'StatefulSet', 'CronJob', 'Pod'].includes(kind))
    .map((object) => [object.kind, podTemplateOf(object)]);

/** The shapes that run a server: `remote` consists of an account and its rights only. */
const INSTANCES = SHAPES.filter((shape) => shape !== 'remote');

describe.each(SHAPES)('the shape %s', (shape) => {
  it('passes helm lint', async () => {
    const { code, stdout, stderr } = await helm('lint', '--strict', CHART, '--values', valuesOf(shape));
    expect(code, stdout + stderr).toBe(0);
  });

  it('renders the same as its golden file', async () => {
    const { code, stdout, stderr } = await template('--values', valuesOf(shape));
    expect(code, stderr).toBe(0);
    if (UPDATE) writeFileSync(goldenOf(shape), steady(stdout));
    expect(steady(stdout)).toBe(await readGolden(shape));
  });

  it('has objects of known kinds, each with a unique name and labels', async () => {
    const objects = await rendered('--values', valuesOf(shape));
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
    for (const { apiVersion, kind, metadata } of objects) {
      expect(`${kind} ${apiVersion}`).toBe(`${kind} ${KINDS[kind]}`);
      expect(metadata.name).toMatch(DNS_1123);
      expect(metadata.labels).toMatchObject({
        'app.kubernetes.io/name': 'portcullis',
        'app.kubernetes.io/instance': 'portcullis',
        'app.kubernetes.io/version': expect.stringMatching(/^\d+\.\d+\.\d+$/),
      });
    }
  });

  it('writes no secret except those of the chart’s own Redis', async () => {
    const objects = await rendered('--values', valuesOf(shape));
    const secrets = objects.filter(({ kind }) => kind === 'Secret').map(({ metadata }) => metadata.name);
    const own = { small: ['auth', 'tls'], ha: ['auth', 'ha', 'tls'] }[shape as string] ?? [];
    expect(secrets.toSorted()).toEqual(own.map((name) => `portcullis-redis-${name}`));
  });

  it('has pods that the Pod Security level “restricted” admits, with a read-only root and resource limits', async () => {
    for (const [kind, { spec }] of workloads(await rendered('--values', valuesOf(shape)))) {
      // The job that rotates keys calls the API server with its own token; no other pod mounts a token that was
      // not requested.
      expect(spec).toMatchObject({ automountServiceAccountToken: kind === 'CronJob', enableServiceLinks: false });
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(spec.securityContext['runAsUser']).toBeGreaterThan(0);
      expect(spec).not.toHaveProperty('hostNetwork');
      expect(spec).not.toHaveProperty('initContainers');
      for (const { image, securityContext, resources } of spec.containers) {
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(Object.keys(resources.requests).toSorted()).toEqual(['cpu', 'memory']);
        expect(Object.keys(resources.limits)).toContain('memory');
        expect(image).toMatch(/^[a-z0-9./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})$/);
        expect(image).not.toMatch(/:latest$/);
      }
    }
  });
});

describe.each(INSTANCES)('the server of the shape %s', (shape) => {
  it('mounts every file that its configuration names, and config check accepts it', async () => {
    const objects = await rendered('--values', valuesOf(shape));
    const outcome = await loadAsDeployed(objects, { extra: ['/etc/portcullis/extra/siem/token'] });
    expect(outcome.ok || outcome.reason).toBe(true);
  });
});
