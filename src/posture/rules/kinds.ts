/** The kinds that are listed, in this order: the kinds that later ones depend on come first. */

export interface KindInfo {
  /** Path of the list over all namespaces. */
  readonly path: string;
  /** Query of the list, in addition to the paging. */
  readonly query: string;
  /** Only names, labels and annotations are requested. */
  readonly metadataOnly: boolean;
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1';

const list = (path: string): KindInfo => ({ path, query: '', metadataOnly: false });

export const KINDS = {
  namespaces: list('/api/v1/namespaces'),
  clusterroles: list(`${RBAC}/clusterroles`),
  roles: list(`${RBAC}/roles`),
  clusterrolebindings: list(`${RBAC}/clusterrolebindings`),
  rolebindings: list(`${RBAC}/rolebindings`),
  serviceaccounts: list('/api/v1/serviceaccounts'),
  // A Secret's data must not even be sent: only Secrets of one type, and only their metadata.
  secrets: {
    path: '/api/v1/secrets',
    query: `fieldSelector=${encodeURIComponent('type=kubernetes.io/service-account-token')}`,
    metadataOnly: true,
  },
  configmaps: list('/api/v1/configmaps'),
  networkpolicies: list('/apis/networking.k8s.io/v1/networkpolicies'),
  certificatesigningrequests: list('/apis/certificates.k8s.io/v1/certificatesigningrequests'),
  pods: list('/api/v1/pods'),
  deployments: list('/apis/apps/v1/deployments'),
  statefulsets: list('/apis/apps/v1/statefulsets'),
  daemonsets: list('/apis/apps/v1/daemonsets'),
  jobs: list('/apis/batch/v1/jobs'),
  cronjobs: list('/apis/batch/v1/cronjobs'),
} satisfies Record<string, KindInfo>;

export type Kind = keyof typeof KINDS;

export const KIND_NAMES = Object.keys(KINDS) as Kind[];
