/** Fails before the first test, with a message, where there is no API server to test with. Nothing is skipped here. */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

const HOW = `npm run test:cluster starts a real kube-apiserver and etcd. Set KUBEBUILDER_ASSETS to the folder in which both programs lie:

  KUBEBUILDER_ASSETS=/path/to/folder npm run test:cluster

envtest's own tool fetches them:  setup-envtest use 1.34 --print path
or put etcd (Debian: etcd-server) and kube-apiserver (from a Kubernetes release) into one folder yourself.`;

/** What commands of the documents need in addition to kubectl, and what brings it. */
const PROGRAMS = ['curl', 'jq', 'openssl'];
const HOW_PROGRAMS = `The commands of the documents are run as they stand, and some need it. On Debian, as root:

  apt-get install --no-install-recommends ${PROGRAMS.join(' ')}`;

export default async function needsAssets(): Promise<void> {
  const folder = process.env['KUBEBUILDER_ASSETS'];
  if (folder === undefined || folder === '') throw new Error(`KUBEBUILDER_ASSETS is not set.\n${HOW}`);
  for (const program of ['etcd', 'kube-apiserver']) {
    await access(join(folder, program), constants.X_OK).catch(() => {
      throw new Error(`KUBEBUILDER_ASSETS is ${folder}, but there is no ${program} in it that may be run.\n${HOW}`);
    });
  }
  const path = (process.env['PATH'] ?? '').split(delimiter);
  for (const program of PROGRAMS) {
    await Promise.any(path.map((bin) => access(join(bin, program), constants.X_OK))).catch(() => {
      throw new Error(`There is no ${program} on the PATH.\n${HOW_PROGRAMS}`);
    });
  }
}
