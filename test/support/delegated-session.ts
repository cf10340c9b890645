/** A delegated session as an agent has it: a kubeconfig of its own, and what a program without kubectl makes of it. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import type { RunningDemo } from '../../demo/launch.ts';
import { bodyOf, RULES, scopeFlags, upgradeHeaders, type DelegatedRequest, type Scope } from './delegated-requests.ts';
import { CliContext } from './kubectl.ts';

const run = promisify(execFile);

interface ExecConfig {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
}

interface ExecCredential {
  readonly status: {
    readonly token: string;
    readonly clientCertificateData: string;
    readonly clientKeyData: string;
  };
}

export interface AskedResponse {
  readonly status: number;
  readonly auditId: string;
  readonly text: string;
}

export interface DelegatedSession {
  readonly name: string;
  readonly kubeconfig: string;
  /** The agent's environment: its kubeconfig, and nothing of the user's. */
  readonly agent: CliContext;
  ask(asked: DelegatedRequest): Promise<AskedResponse>;
  close(): void;
}

/** Runs `portcullis delegate` as the user. */
export async function delegate(
  instance: RunningDemo,
  user: CliContext,
  name: string,
  flags: readonly string[],
): Promise<DelegatedSession> {
  const kubeconfig = join(instance.files.directory, `${name}.yaml`);
  const where = ['--kubeconfig', kubeconfig, '--command', instance.files.command];
  const made = await user.portcullis('delegate', '--name', name, '--for', '30m', ...where, ...flags);
  if (made.code !== 0) throw new Error(made.all);
  const agent = new CliContext(instance, name, {
    KUBECONFIG: kubeconfig,
    KUBECACHEDIR: join(instance.files.directory, `discovery-of-${name}`),
    BROWSER: '/bin/false',
    PORTCULLIS_NO_BROWSER: '1',
  });
  const client = await connectionOf(kubeconfig, agent.environment);
  return {
    name,
    kubeconfig,
    agent,
    ask: (asked) => askWith(client, asked),
    close: () => {
      client.agent.destroy();
      agent.close();
    },
  };
}

/** @returns a session for one of the scopes of the table */
export async function delegateScope(
  instance: RunningDemo,
  user: CliContext,
  name: string,
  scope: Scope,
): Promise<DelegatedSession> {
  const rules = join(instance.files.directory, 'rules.yaml');
  await writeFile(rules, RULES);
  return delegate(instance, user, name, scopeFlags(scope, rules));
}

interface Connection {
  readonly server: URL;
  readonly token: string;
  readonly agent: Agent;
}

/** Runs the plugin as a client does that is not kubectl. */
async function connectionOf(kubeconfig: string, env: NodeJS.ProcessEnv): Promise<Connection> {
  const { clusters, users } = parse(await readFile(kubeconfig, 'utf8')) as {
    readonly clusters: readonly [
      { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } },
    ];
    readonly users: readonly [{ readonly user: { readonly exec: ExecConfig } }];
  };
  const { command, args, env: more } = users[0].user.exec;
  const own = Object.fromEntries((more ?? []).map(({ name, value }) => [name, value]));
  const { stdout } = await run(command, args, { env: { ...env, ...own } });
  const { status } = JSON.parse(stdout) as ExecCredential;
  const { cluster } = clusters[0];
  return {
    server: new URL(cluster.server),
    token: status.token,
    agent: new Agent({
      keepAlive: true,
      ca: Buffer.from(cluster['certificate-authority-data'], 'base64'),
      cert: status.clientCertificateData,
      key: status.clientKeyData,
    }),
  };
}

async function askWith({ server, token, agent }: Connection, asked: DelegatedRequest): Promise<AskedResponse> {
  const { method, path, upgrade, headers } = asked;
  const body = upgrade === undefined ? bodyOf(asked) : undefined;
  const options: RequestOptions = {
    host: server.hostname,
    port: server.port,
    method,
    path,
    agent,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': contentType(method), 'content-length': body.length }),
      ...upgradeHeaders(asked),
      ...headers,
    },
  };
  const req = request(options);
  req.end(body);
  const response = await Promise.race([
    once(req, 'response').then(([res]) => res as IncomingMessage),
    once(req, 'upgrade').then(([res, socket]) => {
      (socket as NodeJS.WritableStream & { destroy(): void }).destroy();
      return res as IncomingMessage;
    }),
  ]);
  let text = '';
  response.setEncoding('utf8');
  if (response.statusCode !== 101) for await (const part of response as AsyncIterable<string>) text += part;
  return { status: response.statusCode ?? 0, auditId: String(response.headers['audit-id'] ?? ''), text };
}

const contentType = (method: string): string =>
  method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
