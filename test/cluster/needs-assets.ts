/** Fails before the first test, with a message, where there is no API server or node to test with. Nothing is skipped here. */
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { givenSource, SUITE_PROGRAMS } from './suites/source.ts';

const ASSETS = ['etcd', 'kube-apiserver', 'kubelet'];
const HOW = `npm run test:cluster starts a real kube-apiserver, etcd and kubelet. Set KUBEBUILDER_ASSETS to the folder that has all three:

  KUBEBUILDER_ASSETS=/path/to/folder npm run test:cluster

envtest's own tool fetches the first two:  setup-envtest use 1.34 --print path
and kubelet is in the node binaries of the same Kubernetes release: put it next to them.
Or put etcd (Debian: etcd-server), kube-apiserver and kubelet into one folder yourself.`;

/** By what they are called: the Debian package that brings them. */
const PROGRAMS = {
  curl: 'curl',
  jq: 'jq',
  openssl: 'openssl',
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  busybox: 'busybox-static',
  podman: 'podman',
};
const HOW_PROGRAMS = `The commands of the documents are run as they stand, and pods on a node of this machine. On Debian, as root:

  apt-get install --no-install-recommends ${[...new Set(Object.values(PROGRAMS))].join(' ')}`;

/** Said where no sources are given, because their absence must not look like a run of them. */
const NO_SUITES = `Kubernetes' own suites (test/cluster/kubernetes-*.test.ts) are not part of this run. They need the Kubernetes sources:

  KUBERNETES_SOURCE=/path/to/kubernetes KUBEBUILDER_ASSETS=/path/to/folder npm run test:cluster

${howPrograms()}`;

function howPrograms(): string {
  return `The folder then has ${SUITE_PROGRAMS.join(', ')} beside the others, each built from these sources.`;
}

export default async function needsAssets(): Promise<void> {
  const folder = process.env['KUBEBUILDER_ASSETS'];
  if (folder === undefined || folder === '') throw new Error(`KUBEBUILDER_ASSETS is not set.\n${HOW}`);
  for (const program of ASSETS) {
    await access(join(folder, program), constants.X_OK).catch(() => {
      throw new Error(`KUBEBUILDER_ASSETS is ${folder}, but there is no ${program} in it that may be run.\n${HOW}`);
    });
  }
  await needsSuites(folder);
  // Where Debian has runc, and a user's PATH often lacks.
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  for (const program of Object.keys(PROGRAMS)) {
    await Promise.any(path.map((bin) => access(join(bin, program), constants.X_OK))).catch(() => {
      throw new Error(`There is no ${program} on the PATH.\n${HOW_PROGRAMS}`);
    });
  }
}

async function needsSuites(folder: string): Promise<void> {
  const source = givenSource();
  if (source === undefined) return console.log(NO_SUITES);
  await access(join(source, 'test/cmd/legacy-script.sh')).catch(() => {
    throw new Error(`KUBERNETES_SOURCE is ${source}, but there is no test/cmd/legacy-script.sh in it.`);
  });
  for (const program of SUITE_PROGRAMS) {
    await access(join(folder, program), constants.X_OK).catch(() => {
      throw new Error(`There is no ${program} in ${folder}. ${howPrograms()}`);
    });
  }
}
