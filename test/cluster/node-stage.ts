/** A server in front of a real API server that has a node, with pods on it and a user who has the rights of a developer there. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { freePort } from '../../demo/ports.ts';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { startTestInstance, type InstanceOptions, type TestInstance } from '../support/instance.ts';
import { staged } from '../support/staged.ts';
import { startHardenedApiServer } from './hardened-api-server.ts';
import type { RealInstance } from './real-instance.ts';
import { BUSYBOX, makeKubeletCertificates, NODE, startNode } from './real-node.ts';

export interface NodeStage extends RealInstance {
  readonly instance: TestInstance;
  /** Where the pod `web` listens. */
  readonly port: number;
  /** With the cluster's own credential, past the proxy. @returns what it printed */
  kubectl(args: readonly string[], input?: string): Promise<string>;
}

/** Of containers with these commands, on the node. */
const pod = (name: string, script: string, namespace = 'default') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace },
  spec: {
    nodeName: NODE,
    hostNetwork: true,
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    containers: [{ name, image: BUSYBOX, imagePullPolicy: 'Never', stdin: true, command: ['sh', '-c', script] }],
  },
});

/** `edit` of Kubernetes has these and more, but without ephemeral containers; its rules come from a controller, which does not run here. */
const DEVELOPER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name: 'node-developer', namespace: 'default' },
  rules: [
    { apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
    { apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'], verbs: ['get', 'create'] },
    { apiGroups: [''], resources: ['pods/ephemeralcontainers'], verbs: ['patch'] },
  ],
};

const BINDING = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: 'node-developer', namespace: 'default' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'node-developer' },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'demo:alice' }],
};

export interface NodeStageOptions extends Pick<InstanceOptions, 'redis'> {
  /** A further one, with the pod `ledger`, where the user has no right. */
  readonly namespace?: string;
}

export const startNodeStage = ({ namespace, ...options }: NodeStageOptions = {}): Promise<NodeStage> =>
  staged(async (stops) => {
    const certificates = await makeKubeletCertificates();
    stops.push(() => certificates.remove());
    const server = await startHardenedApiServer({ flags: certificates.flags });
    stops.push(() => server.close());
    const kubectl = (args: readonly string[], input = '') => withInput(server.kubeconfig, args, input);
    const node = await startNode(server, certificates);
    stops.push(() => node.stop());
    const port = await freePort();
    const objects = [
      DEVELOPER,
      BINDING,
      pod('web', `echo "through Portcullis" >/tmp/index.html; exec httpd -f -p 127.0.0.1:${port} -h /tmp`),
      pod('aside', `exec sleep 2147483647`),
      pod('echo', `while read -r line; do echo "heard $line"; done; exec sleep 2147483647`),
      ...(namespace === undefined
        ? []
        : [
            { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
            pod('ledger', 'exec sleep 2147483647', namespace),
          ]),
      pod('clock', `n=0; while sleep 0.2; do n=$((n + 1)); echo "tick $n"; done`),
    ];
    await kubectl(['apply', '--filename', '-'], objects.map((each) => stringify(each)).join('---\n'));
    await kubectl(['wait', 'pod/web', 'pod/aside', 'pod/echo', 'pod/clock', '--for=condition=Ready', '--timeout=60s']);
    if (namespace !== undefined) {
      await kubectl(['wait', '--namespace', namespace, 'pod/ledger', '--for=condition=Ready', '--timeout=60s']);
    }
    const { kubeconfig, auditLog } = server;
    const instance = await startTestInstance({ kubeconfig, ...options });
    stops.push(() => instance.stop());
    return {
      instance,
      port,
      kubectl,
      apiServerAudit: async () => {
        const lines = (await readFile(auditLog, 'utf8')).split('\n').filter((line) => line !== '');
        return lines.map((line) => JSON.parse(line) as ApiServerEvent);
      },
    };
  });

function withInput(kubeconfig: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('kubectl', ['--kubeconfig', kubeconfig, ...args], (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${args.join(' ')}: ${stderr}`, { cause: error }));
    });
    child.stdin?.end(input);
  });
}
