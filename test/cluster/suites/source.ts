/** The Kubernetes sources whose own suites run here, and the programs that were built from them: both are given, and neither is part of the project. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The programs of the same sources that these suites need in KUBEBUILDER_ASSETS beside the others. */
export const SUITE_PROGRAMS = ['kube-controller-manager', 'kubectl', 'kubectl-convert', 'e2e.test'] as const;

/** The folder of the sources, where one is given. */
export const givenSource = (): string | undefined => process.env['KUBERNETES_SOURCE'] || undefined;

/** A regular expression that chooses among what the suites have, by name. Without it, all that is chosen runs. */
export const givenPattern = (): string | undefined => process.env['KUBERNETES_SUITE_PATTERN'] || undefined;

export const asset = (program: string): string => join(process.env['KUBEBUILDER_ASSETS'] ?? '', program);

/** @returns such as `1.34.9`, from the API server itself */
export async function kubernetesVersion(): Promise<string> {
  const { stdout } = await promisify(execFile)(asset('kube-apiserver'), ['--version']);
  return stdout.trim().replace(/^Kubernetes v/, '');
}
