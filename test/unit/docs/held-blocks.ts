/**
 * How each block of commands in the documents is held: by the test that reads it from its page and runs it, or, where nothing here can run it,
 * by a sentence that says why. The lessons of docs/training are done whole by `test/e2e/lessons.test.ts`.
 */

interface Row {
  readonly page: string;
  /** What the block begins with, as `pageBlock` takes it. */
  readonly begins: string;
}

export type HeldBlock = Row & ({ readonly test: string } | { readonly why: string });

const runBy = (test: string, blocks: Readonly<Record<string, readonly string[]>>): readonly HeldBlock[] =>
  Object.entries(blocks).flatMap(([page, all]) => all.map((begins) => ({ page, begins, test })));

export const HELD_BLOCKS: readonly HeldBlock[] = [
  ...runBy('test/integration/docs-checkout.test.ts', { 'README.md': ['npm run demo'] }),
  ...runBy('test/integration/docs-install.test.ts', {
    'docs/install.md': [
      '(umask 077',
      'npx portcullis store check',
      'kubectl --namespace portcullis create secret generic outbound-proxy',
    ],
  }),
  ...runBy('test/integration/docs-shell.test.ts', {
    'README.md': ['npx portcullis keys generate', 'npx portcullis config check'],
    'docs/claims.md': ['portcullis config check'],
    'docs/providers/oidc.md': ['portcullis config probe'],
    'docs/managed-stores.md': ['portcullis store check'],
    'docs/rotation.md': ['portcullis keys rotate --dir'],
  }),
  ...runBy('test/integration/docs-packages.test.ts', {
    'README.md': ['npm install --global'],
    'docs/install-cli.md': ['npm run build:cli', 'mkdir -p ~/.local'],
    'docs/kubectl.md': ['export PORTCULLIS_CACHE_DIR'],
    'docs/agents.md': [
      'portcullis delegate --read-only --namespace shop --for 30m',
      'portcullis delegate --rules',
      'portcullis delegations',
      'sudo install',
    ],
  }),
  ...runBy('test/integration/access-notify.test.ts', { 'docs/access-requests.md': ['echo "whsec_'] }),
  ...runBy('test/integration/token-exchange.test.ts', { 'docs/token-exchange.md': ['curl -sS --cert mcp.crt'] }),
  ...runBy('test/integration/cells.test.ts', { 'docs/cells.md': ['portcullis login', 'missing='] }),
  ...runBy('test/integration/release-files.test.ts', {
    'docs/releases.md': ['cosign verify-blob', 'cosign verify ghcr', 'curl -fsSLO'],
  }),
  ...runBy('test/integration/docs-server.test.ts', {
    'README.md': ['portcullis sessions', 'portcullis drill'],
    'docs/cannot-revoke.md': ['portcullis revoke --config'],
    'docs/reference/admin-api.md': ['portcullis api GET', 'umask 077'],
    'docs/runbooks/laptop-stolen.md': ['portcullis revoke --account'],
    'docs/runbooks/provider-compromised.md': ['portcullis revoke --provider'],
    'docs/runbooks/token-leaked.md': ['portcullis revoke --session'],
  }),
  ...runBy('test/integration/docs-audit.test.ts', {
    'docs/audit-query.md': ['portcullis audit query'],
    'docs/audit-tail.md': ['portcullis audit tail --user'],
    'docs/audit-verify.md': ['portcullis audit verify'],
    'docs/device-code.md': ['portcullis login --device'],
    'docs/posture.md': ['portcullis posture --cluster prod\n', 'portcullis posture --cluster prod --fail-on'],
    'docs/revocation.md': ['while read -r account'],
    'docs/troubleshooting.md': ['kubectl get pods'],
  }),
  ...runBy('test/cluster/outlives.test.ts', {
    'docs/revocation.md': ['portcullis audit query audit.log*', 'portcullis audit query kube-audit.log'],
  }),
  ...runBy('test/cluster/guides.test.ts', {
    'README.md': ['kubectl apply --server-side -f deploy/examples/service-account.yaml', 'kubectl create rolebinding'],
  }),
  ...runBy('test/cluster/guides-install.test.ts', {
    'docs/clusters.md': [
      'helm install',
      'kubectl create token',
      'kubectl create rolebinding',
      'kubectl --context elsewhere',
    ],
    'docs/install.md': [
      'kubectl create namespace portcullis',
      'kubectl --namespace portcullis create secret tls',
      'helm template',
      'helm install portcullis deploy/chart --namespace portcullis --values',
      'portcullis login',
      'helm install portcullis deploy/chart --namespace portcullis --create-',
    ],
    'docs/network-policies.md': ['kubectl --namespace portcullis run try'],
  }),
  ...runBy('test/cluster/guides-audit.test.ts', {
    'docs/audit-tail.md': ['portcullis audit tail --event'],
    'docs/audit-verify.md': ['# does line 8'],
    'docs/posture/account-admin.md': ['portcullis audit query'],
    'docs/posture/legacy-token.md': ['kubectl create token'],
    'docs/runbooks/sensitive-surge.md': ['portcullis audit query'],
    'docs/runbooks/unissued-impersonation.md': ['node deploy/prometheus'],
    'docs/workloads.md': ['umask 077'],
  }),
  ...runBy('test/cluster/agents.test.ts', { 'docs/agents.md': ['mkdir -m 700 claude'] }),
  ...runBy('test/cluster/chart.test.ts', {
    'docs/ha-store.md': ['kubectl --namespace portcullis delete statefulset'],
  }),
  ...runBy('test/cluster/break-glass.test.ts', {
    'docs/break-glass.md': ['N=', 'kubectl config view', 'jq'],
    'docs/runbooks/proxy-bypassed.md': ['node deploy/prometheus'],
  }),
  {
    page: 'README.md',
    begins: 'npm test',
    why: 'it is what runs all of these',
  },
  {
    page: 'CONTRIBUTING.md',
    begins: 'npm run check',
    why: 'the whole of the checks and of the tests, of which this is one; README.md’s first block runs the demo',
  },
  {
    page: 'docs/install.md',
    begins: 'docker build',
    why: 'it needs a registry of one’s own; test/cluster/image.test.ts builds the Dockerfile with the builder that there is',
  },
  {
    page: 'docs/performance.md',
    begins: 'npm run bench',
    why: 'a quarter of an hour of full load, which no other test would survive beside it',
  },
  {
    page: 'docs/rotation.md',
    begins: 'portcullis keys rotate --kubernetes-secret',
    why: 'it reads the account of the pod it runs in; test/cluster/rotation-rights.test.ts does the same on a real API server',
  },
  {
    page: 'test/model/README.md',
    begins: 'spin -o3',
    why: 'test/model/model.test.ts runs these searches, each with its own flags',
  },
];
