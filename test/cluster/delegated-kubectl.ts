/** What a user types in a delegated session, and what comes of it in the scopes of test/support/delegated-requests.ts. */

export interface KubectlRow {
  readonly command: string;
  /** Of streams. */
  readonly protocol: 'WebSocket' | 'SPDY';
  readonly args: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** In the order of `SCOPES`. */
  readonly allowed: readonly [boolean, boolean, boolean];
}

const SPDY = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };
const row = (command: string, allowed: KubectlRow['allowed'], environment?: NodeJS.ProcessEnv): KubectlRow => ({
  command,
  protocol: environment === undefined ? 'WebSocket' : 'SPDY',
  args: command.split(' '),
  allowed,
  ...(environment === undefined ? {} : { environment }),
});

/** What of the table a user types. */
export const KUBECTL_ROWS: readonly KubectlRow[] = [
  row('version', [true, true, true]),
  row('api-resources', [true, true, true]),
  row('explain pod.spec', [true, true, true]),
  row('auth whoami', [true, true, true]),
  row('auth can-i delete pods', [true, true, true]),
  row('auth can-i --list', [true, true, true]),
  row('get pods', [true, true, true]),
  row('get pods --watch --request-timeout=1s', [true, true, true]),
  row('get pods --namespace payments', [false, true, false]),
  row('get pods --all-namespaces', [false, true, false]),
  row('get pods --as corp:other', [false, false, false]),
  row('delete pod web-2 --dry-run=server', [false, false, true]),
  row('delete pods --all --dry-run=server', [false, false, true]),
  row('label pod web-2 a=b', [false, false, false]),
  row('run other --image registry.example/a:1', [false, false, false]),
  row('create configmap one', [false, false, false]),
  row('logs web-1', [true, true, true]),
  row('exec web-1 -- id', [false, false, true]),
  row('exec web-1 -- id', [false, false, true], SPDY),
  row('exec web-2 -- id', [false, false, false]),
  row('attach web-1', [false, false, false]),
  row('attach web-1', [false, false, false], SPDY),
  row('port-forward pod/web-1 :80', [false, false, false]),
  row('port-forward pod/web-1 :80', [false, false, false], SPDY),
  row('cp web-2:/etc/hosts /dev/null', [false, false, false]),
  row('debug web-1 --image registry.example/a:1', [false, false, false]),
  row('get --raw /api/v1/nodes/one/proxy/pods', [false, false, true]),
  row('get --raw /api/v1/namespaces/default/services/web/proxy/', [false, false, true]),
  row('get secrets', [false, true, false]),
  row('get secret of-web', [false, true, true]),
  row('get secrets --all-namespaces', [false, true, false]),
  row('create token builder', [false, false, true]),
  row('get csr', [false, false, false]),
  row('get csr one', [false, false, true]),
  row('get nodes', [false, true, false]),
  row('get crds', [false, true, false]),
  row('get rolebindings', [true, true, false]),
  row('get --raw /metrics', [false, false, true]),
  row('get --raw /logs/', [false, false, false]),
];
