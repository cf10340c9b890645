/** A real API server with the account of Portcullis and the role that the chart renders for constrained impersonation, and its token. */
import { once } from 'node:events';
import { connect } from 'node:tls';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { rendered } from '../support/chart.ts';
import { until } from '../support/data-plane.ts';
import type { BareApiServer } from './bare-api-server.ts';

export interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export class ConstrainedCluster {
  readonly server: BareApiServer;
  readonly #dispatcher: Agent;
  token = '';

  constructor(server: BareApiServer) {
    this.server = server;
    this.#dispatcher = new Agent({ connect: { ca: server.ca } });
  }

  async kubectl(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.server.kubectl(args, input);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const text = objects.map((object) => stringify(object)).join('---\n');
    await this.kubectl(['apply', '--namespace', 'portcullis', '--filename', '-'], text);
  }

  grant(name: string, rules: readonly object[], ...subjects: readonly object[]): Promise<void> {
    const apiVersion = 'rbac.authorization.k8s.io/v1';
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name };
    return this.apply(
      { apiVersion, kind: 'ClusterRole', metadata: { name }, rules },
      { apiVersion, kind: 'ClusterRoleBinding', metadata: { name }, roleRef, subjects },
    );
  }

  /** The account with the role of the chart: every group, and only for reads unless `all` is said. */
  async install(constrained: 'read' | 'all' = 'read'): Promise<void> {
    await this.kubectl(['create', 'namespace', 'portcullis']);
    const impersonate = { groups: '*', extra: [], constrained };
    const values = ['--set-json', `clusters=${JSON.stringify([{ name: 'elsewhere', impersonate }])}`];
    const more = ['--set', 'remoteClusterOnly=true', '--set', 'rbac.serviceAccounts=true'];
    await this.apply(...(await rendered(...values, ...more)));
    this.token = (await this.kubectl(['create', 'token', 'portcullis', '--namespace', 'portcullis'])).trim();
  }

  async ask({ method = 'GET', path, body, headers = {} }: Ask, token = this.token): Promise<[number, string]> {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const response = await request(`${this.server.url}${path}`, {
      method: method as 'GET',
      dispatcher: this.#dispatcher,
      headers: { authorization: `Bearer ${token}`, 'content-type': type, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return [response.statusCode, await response.body.text()];
  }

  /** A WebSocket's first request, which no HTTP client sends. */
  async upgrade(path: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const { hostname, port } = new URL(this.server.url);
    const socket = connect({ host: hostname, port: Number(port), ca: this.server.ca, servername: 'localhost' });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    await once(socket, 'secureConnect');
    const lines = Object.entries({
      host: 'localhost',
      authorization: `Bearer ${this.token}`,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-protocol': 'v5.channel.k8s.io',
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    const received = (): string => Buffer.concat(chunks).toString('latin1');
    await until(() => /\r\n\r\n./.test(received()), 'the response to an upgrade');
    socket.destroy();
    return received();
  }

  async close(): Promise<void> {
    await this.#dispatcher.close();
    await this.server.close();
  }
}
