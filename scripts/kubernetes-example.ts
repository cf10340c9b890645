/**
 * Renders deploy/examples/kubernetes.yaml from the chart, for who has no Helm: `node scripts/kubernetes-example.ts`, with Helm 4 on the PATH. A test
 * compares the two.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

export const KUBERNETES_EXAMPLE = `${ROOT}deploy/examples/kubernetes.yaml`;

const HEAD = `# Portcullis in a cluster, without Helm. Rendered from deploy/chart by scripts/kubernetes-example.ts with the values of kubernetes-values.yaml beside
# this file: do not edit it here, unless it is your own copy. docs/install.md says which Secrets have to be there first, and what to change:
# portcullis.example.com, prod.k8s.example.com, login.example.com, redis.example.com, the groups corp:… (in the configuration and in the ClusterRole).
#
#   kubectl create namespace portcullis
#   kubectl label namespace portcullis pod-security.kubernetes.io/enforce=restricted
#   kubectl apply --namespace portcullis --filename kubernetes.yaml
#
# Pods read the configuration when they start: after a change of it, kubectl --namespace portcullis rollout restart deployment/portcullis
`;

/**
 * @param helm path of the program
 * @throws Error with Helm's message if the chart does not render
 */
export function kubernetesExample(helm = 'helm'): string {
  const values = `${ROOT}deploy/examples/kubernetes-values.yaml`;
  const chart = ['template', 'portcullis', `${ROOT}deploy/chart`, '--namespace', 'portcullis'];
  // Without Helm, a test would be a pod like any other.
  const args = [...chart, '--skip-tests', '--values', values];
  const text = execFileSync(helm, args, { encoding: 'utf8' });
  // Labels and lines of a release would say that Helm looks after it.
  const plain = text
    .replaceAll(/^ *(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, '')
    .replaceAll(/^# Source: .*\n/gm, '');
  return `${HEAD}${plain}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(KUBERNETES_EXAMPLE, kubernetesExample());
