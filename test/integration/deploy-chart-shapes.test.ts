/**
 * The rendered chart in its main shapes: equal to the golden files, valid manifests, and a configuration that our
 * loader accepts.
 *
 * Golden files (test/deploy/golden): `small.yaml` is a whole rendering. `SHAPE.diff` has the objects of another shape in their order, each with
 * its difference from the object of that kind and name in `small.yaml`: none, or all of it for one that is not there. Together they are the whole
 * rendering of that shape, which is compared byte by byte.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadAsDeployed } from '../support/chart-config.ts';
import { podTemplateOf, type PodTemplate } from '../support/chart-pods.ts';
import {
  helm,
  rendered,
  SHAPES,
  template,
  valuesOf,
  CHART,
  DEPLOY_TESTS,
  type KubernetesObject,
} from '../support/chart.ts';

/** PORTCULLIS_UPDATE_GOLDEN=1 rewrites them. */
const UPDATE = process.env['PORTCULLIS_UPDATE_GOLDEN'] === '1';

/** Masks the random values of each rendering: the password and certificates of the chart's own Redis. */
const steady = (text: string): string =>
  text.replaceAll(/^( {2}(?:(?:[a-z]+-)?password|ca\.crt|tls\.crt|tls\.key): ).+$/gm, '$1…');

const WHOLE = 'small';
const goldenOf = (shape: string): string => `${DEPLOY_TESTS}golden/${shape}.${shape === WHOLE ? 'yaml' : 'diff'}`;

/** The texts of the objects of a rendering, by kind and name. */
const textsIn = (rendering: string): ReadonlyMap<string, string> =>
  new Map(
    rendering
      .split(/^---\n/m)
      .slice(1)
      .map((text) => [`${/^kind: (.+)$/m.exec(text)?.[1]} ${/^metadata:\n {2}name: (.+)$/m.exec(text)?.[1]}`, text]),
  );

const wholeTexts = (): ReadonlyMap<string, string> => textsIn(readFileSync(goldenOf(WHOLE), 'utf8'));

/** What a golden file says that a shape renders as. */
function expectedOf(shape: string): string {
  const golden = readFileSync(goldenOf(shape), 'utf8');
  if (shape === WHOLE) return golden;
  const whole = wholeTexts();
  return golden
    .split(/^=== /m)
    .slice(1)
    .map((entry) => {
      const [object = '', ...difference] = entry.replace(/\n$/, '').split('\n');
      return `---\n${patched(whole.get(object) ?? '', difference)}`;
    })
    .join('');
}

/** @throws AssertionError where a line that the difference keeps or removes is another one */
function patched(before: string, difference: readonly string[]): string {
  const lines = before.split('\n');
  const after: string[] = [];
  let at = 0;
  for (const line of difference) {
    const hunk = /^@@ -(\d+)(,0)?/.exec(line);
    if (hunk !== null) {
      const first = Number(hunk[1]) - (hunk[2] === undefined ? 1 : 0);
      after.push(...lines.slice(at, first));
      at = first;
    } else if (line.startsWith('+')) after.push(line.slice(1));
    else {
      expect(line.slice(1)).toBe(lines[at]);
      if (line.startsWith(' ')) after.push(line.slice(1));
      at += 1;
    }
  }
  return [...after, ...lines.slice(at)].join('\n');
}

/** The golden file for what a shape renders as now. */
function updatedGolden(shape: string, rendering: string): string {
  if (shape === WHOLE) return rendering;
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-golden-'));
  const before = join(folder, 'before.yaml');
  const whole = wholeTexts();
  const entries = [...textsIn(rendering)].map(([object, text]) => {
    writeFileSync(before, whole.get(object) ?? '');
    const { stdout } = spawnSync('diff', ['-U1', before, '-'], { input: text, encoding: 'utf8' });
    return `=== ${object}\n${stdout.replace(/^---.*\n.*\n/, '')}`;
  });
  rmSync(folder, { recursive: true });
  return entries.join('');
}

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
    if (UPDATE) writeFileSync(goldenOf(shape), updatedGolden(shape, steady(stdout)));
    expect(steady(stdout)).toBe(expectedOf(shape));
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
