/** The Helm chart, rendered by Helm 4, and what it renders in pieces. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { newestClients } from './kubectl-versions.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const CHART = `${ROOT}deploy/chart`;
export const DEPLOY_TESTS = `${ROOT}test/deploy/`;

/** Values of the main shapes (test/deploy/values/NAME.yaml). */
export const SHAPES = ['small', 'ha', 'large', 'ingress', 'remote'] as const;

export const valuesOf = (shape: string): string => `${DEPLOY_TESTS}values/${shape}.yaml`;

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

export interface Rendering {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param args of `helm`; the chart, values and namespace are the caller's to name */
export async function helm(...args: string[]): Promise<Rendering> {
  const program = (await newestClients()).helm;
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** `helm template` as release and namespace `portcullis`. */
export const template = (...args: string[]): Promise<Rendering> =>
  helm('template', 'portcullis', CHART, '--namespace', 'portcullis', ...args);

/** @throws Error with Helm's message where it does not render */
export async function rendered(...args: string[]): Promise<readonly KubernetesObject[]> {
  const { code, stdout, stderr } = await template(...args);
  if (code !== 0) throw new Error(stderr);
  return objectsIn(stdout);
}

/** @throws Error where the text is no YAML, or says a key twice */
export function objectsIn(text: string): readonly KubernetesObject[] {
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const object = document.toJS() as KubernetesObject | null;
    return object === null ? [] : [object];
  });
}

/** @throws Error where there is not exactly one */
export function only(objects: readonly KubernetesObject[], kind: string, name?: string): KubernetesObject {
  const found = objects.filter((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} of kind ${kind} ${name ?? ''}`);
  return first;
}
