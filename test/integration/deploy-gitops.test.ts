/** The examples for Argo CD, Flux and Terraform: by the schemas of what reads them, and rendered with the values that they carry. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Application } from '@kubernetes-models/argo-cd/argoproj.io/v1alpha1/Application';
import { Certificate } from '@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate';
import { ExternalSecret } from '@kubernetes-models/external-secrets/external-secrets.io/v1/ExternalSecret';
import { HelmRelease } from '@kubernetes-models/flux-cd/helm.toolkit.fluxcd.io/v2/HelmRelease';
import { OCIRepository } from '@kubernetes-models/flux-cd/source.toolkit.fluxcd.io/v1/OCIRepository';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { objectsIn, only, rendered, type KubernetesObject } from '../support/chart.ts';
import { loadAsDeployed } from '../support/chart-config.ts';
import { podTemplateOf } from '../support/chart-pods.ts';
import { ROOT } from '../support/deployed.ts';
import { temporaryDirectory, writeFiles } from '../unit/config/sandbox.ts';

/** The parser of Terraform itself. Its own types bring those of the DOM into every file, which the sources must not see. */
const { parse: parseHcl } = createRequire(import.meta.url)('@cdktn/hcl2json') as {
  readonly parse: (name: string, text: string) => Promise<unknown>;
};

type Values = Readonly<Record<string, unknown>>;

const read = (path: string): string => readFileSync(`${ROOT}deploy/examples/${path}`, 'utf8');
const { version } = parse(readFileSync(`${ROOT}deploy/chart/Chart.yaml`, 'utf8')) as { readonly version: string };

interface Valid {
  validate(): void;
}

/** By kind, as the custom resource definitions have them. */
const MODELS: Readonly<Record<string, new (data: never) => Valid>> = {
  Application,
  Certificate,
  ExternalSecret,
  HelmRelease,
  OCIRepository,
};

function validate({ apiVersion, kind, ...content }: KubernetesObject): void {
  const Model = MODELS[kind];
  if (Model === undefined) throw new Error(`no schema of ${kind}`);
  expect((Model as unknown as { readonly apiVersion: string }).apiVersion).toBe(apiVersion);
  new Model({ apiVersion, kind, ...content } as never).validate();
}

function render(values: Values): Promise<readonly KubernetesObject[]> {
  const folder = temporaryDirectory();
  writeFiles(folder, { 'values.yaml': stringify(values) });
  return rendered('--values', `${folder}/values.yaml`);
}

/** Names of the Secrets that the pods of a rendering mount, or the objects below it name in another way. */
function secretsNamed(inside: unknown): readonly string[] {
  if (typeof inside !== 'object' || inside === null) return [];
  return Object.entries(inside).flatMap(([key, value]) => {
    if (key === 'secretName' && typeof value === 'string') return [value];
    if (key === 'secret' && typeof (value as { name?: unknown }).name === 'string')
      return [(value as { name: string }).name];
    return secretsNamed(value);
  });
}

const argo = objectsIn(read('argo-cd/application.yaml'));
const secrets = objectsIn(read('argo-cd/secrets.yaml'));
const flux = objectsIn(read('flux/portcullis.yaml'));

it.each([...argo, ...secrets, ...flux].map((one) => [one.kind, one.metadata.name, one] as const))(
  'has a valid %s %s',
  (_kind, _name, object) => {
    expect(() => validate(object)).not.toThrow();
  },
);

it('finds what a schema does not admit', () => {
  const wrong = { kind: 'HelmRelease', apiVersion: 'helm.toolkit.fluxcd.io/v2', metadata: { name: 'x' } };
  expect(() => validate({ ...wrong, spec: { interval: '10m', driftDetection: { mode: 'always' } } })).toThrow(
    /driftDetection/,
  );
});

describe('Argo CD', () => {
  const application = only(argo, 'Application');
  const { source } = application['spec'] as {
    readonly source: {
      readonly targetRevision: string;
      readonly helm: { readonly releaseName: string; readonly valuesObject: Values };
    };
  };

  it('renders the same each time, and no Secret, as it never looks at the cluster', async () => {
    const [first, second] = await Promise.all([render(source.helm.valuesObject), render(source.helm.valuesObject)]);
    expect(first).toEqual(second);
    expect(first.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    const outcome = await loadAsDeployed(first);
    expect(outcome.ok || outcome.reason).toBe(true);
  });

  it('has every Secret from the example beside it, from cert-manager, or from the commands of docs/install.md', async () => {
    const objects = await render(source.helm.valuesObject);
    const pods = ['Deployment', 'StatefulSet'].map((kind) => podTemplateOf(only(objects, kind)));
    const made = [
      ...secrets.map((each) => {
        const { secretName, target } = each['spec'] as {
          readonly secretName?: string;
          readonly target?: { readonly name: string };
        };
        return secretName ?? target?.name ?? '';
      }),
      ...objects.filter(({ kind }) => kind === 'Certificate').flatMap(({ spec }) => secretsNamed(spec)),
      ...['signing', 'sealing', 'audit'].map((kind) => `portcullis-${kind}-keys`),
    ];
    expect(secretsNamed(pods).filter((name) => !made.includes(name))).toEqual([]);
  });

  it('has a certificate of Redis that lasts for years, because a running Redis does not read a new one', () => {
    const { duration, renewBefore } = only(secrets, 'Certificate')['spec'] as Record<string, string>;
    expect(Number.parseInt(duration ?? '', 10)).toBeGreaterThan(5 * 365 * 24);
    // Long enough that a pod has been replaced between a renewal and the end.
    expect(Number.parseInt(renewBefore ?? '', 10)).toBeGreaterThanOrEqual(365 * 24);
  });

  it('has the chart’s version, and the release’s name for its own', () => {
    expect(source.targetRevision).toBe(version);
    expect(application.metadata.name).toBe(source.helm.releaseName);
  });
});

describe('Flux', () => {
  const spec = (kind: string): Record<string, unknown> => only(flux, kind)['spec'] as Record<string, unknown>;

  it('renders, with a configuration that Portcullis accepts', async () => {
    const outcome = await loadAsDeployed(await render(spec('HelmRelease')['values'] as Values));
    expect(outcome.ok || outcome.reason).toBe(true);
  });

  it('has the chart’s version, and names the repository beside it', () => {
    expect(spec('OCIRepository')['ref']).toEqual({ tag: version });
    expect(spec('HelmRelease')['chartRef']).toEqual({
      kind: 'OCIRepository',
      name: only(flux, 'OCIRepository').metadata.name,
    });
  });
});

describe('Terraform', () => {
  it('has a release by the parser of Terraform, with the chart’s version and no value beside the file', async () => {
    const { resource, provider } = (await parseHcl('main.tf', read('terraform/main.tf'))) as {
      readonly resource: { readonly helm_release: { readonly portcullis: readonly Record<string, unknown>[] } };
      readonly provider: { readonly helm: readonly object[] };
    };
    const [release = {}] = resource.helm_release.portcullis;
    expect(release).toMatchObject({ chart: 'portcullis', version, values: ['${file("${path.module}/values.yaml")}'] });
    for (const name of ['set', 'set_sensitive', 'set_wo']) expect(release).not.toHaveProperty(name);
    expect(provider.helm).toEqual([{ kubernetes: { config_path: '${var.kubeconfig}' } }]);
  });

  it('renders, with a configuration that Portcullis accepts', async () => {
    const outcome = await loadAsDeployed(await render(parse(read('terraform/values.yaml')) as Values));
    expect(outcome.ok || outcome.reason).toBe(true);
  });
});
