/** An MCP server of others, with its own read-only switch off: what it may do is decided by the delegated session that it was given. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportPKCS8 } from 'jose';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { parse, stringify } from 'yaml';
import type { RunningDemo } from '../../demo/launch.ts';
import { freePort } from '../../demo/ports.ts';
import { auditedBy } from '../support/audit-log.ts';
import { delegate, type DelegatedSession } from '../support/delegated-session.ts';
import { DEMO, startExchangeStage, type ExchangeStage } from '../support/exchange-stage.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import {
  mcpOverHttp,
  mcpOverStdio,
  MCP_SERVER_VERSION,
  startMcpOverHttp,
  type McpClient,
  type McpOverHttp,
} from './mcp-server.ts';
import { withValues } from '../support/page-blocks.ts';
import { makeCertificate } from '../support/upstream.ts';
import { fencedBlocks, readPage } from '../unit/docs/markdown.ts';

const NAMESPACE = 'default';

test.each(['docs/agents.md', 'docs/clients.md'])('%s names the version that is tested', (page) => {
  expect(readPage(page)).toContain(MCP_SERVER_VERSION);
});

describe('kubernetes-mcp-server over stdio', () => {
  let instance: RunningDemo;
  let root: CliContext;
  let session: DelegatedSession;
  let server: McpClient;
  beforeAll(async () => {
    instance = await startTestInstance();
    // An administrator of the cluster: whatever is rejected is rejected by the session's limits.
    root = new CliContext(instance, 'root');
    const signedIn = await root.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
    session = await delegate(instance, root, 'claude', ['--read-only', '--namespace', NAMESPACE]);
    server = await mcpOverStdio([], session.agent.environment);
  });
  afterAll(async () => {
    server.close();
    session.close();
    root.close();
    await instance.stop();
  });

  const events = async () =>
    (await auditedBy(instance)).filter(({ annotations }) => annotations['portcullis.dev/actor'] === 'claude');

  it('reads pods and their logs', async () => {
    const listed = await server.call('pods_list_in_namespace', { namespace: NAMESPACE });
    expect(listed).toEqual({ isError: false, text: expect.stringMatching(/web-1[^]*web-2/) });
    const log = await server.call('pods_log', { namespace: NAMESPACE, name: 'web-1' });
    expect(log.isError, log.text).toBe(false);
    expect(await events()).toContainEqual(
      expect.objectContaining({
        verb: 'list',
        user: expect.objectContaining({ username: 'demo:root' }),
        objectRef: expect.objectContaining({ resource: 'pods', namespace: NAMESPACE }),
      }),
    );
  });

  it.each<[string, string, Readonly<Record<string, unknown>>, string]>([
    ['delete a pod', 'pods_delete', { namespace: NAMESPACE, name: 'web-1' }, 'delete'],
    ['run a command', 'pods_exec', { namespace: NAMESPACE, name: 'web-1', command: ['id'] }, 'get'],
    ['run a pod', 'pods_run', { namespace: NAMESPACE, image: 'registry.example/a:1' }, 'patch'],
    ['read Secrets', 'resources_list', { apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE }, 'list'],
    ['list pods everywhere', 'pods_list', {}, 'list'],
  ])('has a tool to %s, which the proxy rejects', async (_what, tool, args, verb) => {
    expect(await server.tools()).toContain(tool);
    const before = (await events()).length;
    const result = await server.call(tool, args);
    expect(result).toEqual({
      isError: true,
      text: expect.stringContaining('this session was delegated to "claude": read-only in default'),
    });
    const [rejected] = (await events())
      .slice(before)
      .filter(({ annotations }) => annotations['portcullis.dev/reason'] === 'delegation_limit');
    expect(rejected).toMatchObject({ verb, responseStatus: { code: 403 } });
  });

  it('has taken nothing away', async () => {
    expect((await root.kubectl('get', 'pods', '--output', 'name')).stdout).toContain('pod/web-1\n');
  });

  it('says that the session is over, once the user has ended it', async () => {
    const [item] = JSON.parse((await root.portcullis('delegations', '--output', 'json')).stdout).delegations as {
      readonly id: string;
    }[];
    const ended = await root.portcullis('logout', '--session', item?.id ?? '');
    expect(ended.code, ended.all).toBe(0);
    const result = await server.call('pods_list_in_namespace', { namespace: NAMESPACE });
    const over = 'the session delegated to "claude" has ended: its user has to delegate again';
    expect(result).toEqual({ isError: true, text: expect.stringContaining(over) });
  });
});

describe('kubernetes-mcp-server over HTTP, for several users', () => {
  const CLIENT = 'mcp-bare';
  const AUDIENCE = `https://${CLIENT}.example.com/mcp`;
  let stage: ExchangeStage;
  let server: McpOverHttp;
  let root: CliContext;
  beforeAll(async () => {
    stage = await startExchangeStage();
    root = new CliContext(stage, 'root');
    const { directory, kubeconfig } = stage.files;
    const at = (name: string): string => join(directory, name);
    // The cluster alone: what it may do comes with each request.
    const { clusters, contexts, ...config } = parse(await readFile(kubeconfig, 'utf8')) as {
      readonly clusters: object;
      readonly contexts: readonly [{ readonly name: string; readonly context: object }];
    };
    const [{ name, context }] = contexts;
    const withoutUser = [{ name, context: { ...context, user: '' } }];
    await writeFile(at('mcp-kubeconfig'), stringify({ ...config, clusters, contexts: withoutUser, users: [] }));
    const { cert } = await makeCertificate(CLIENT);
    await writeFile(at('mcp.crt'), cert);
    await writeFile(at('mcp.key'), await exportPKCS8(await stage.keyOf(CLIENT)), { mode: 0o600 });
    const [block = ''] = fencedBlocks(readPage('docs/agents.md'))
      .filter(({ language }) => language === 'toml')
      .map(({ text }) => text);
    const toml = withValues(block, {
      'https://portcullis.example.com': stage.web,
      'https://mcp.example.com/mcp': AUDIENCE,
      '/etc/mcp/kubeconfig': at('mcp-kubeconfig'),
      'urn:portcullis:cluster:prod': DEMO,
      'client_id = "mcp-server"': `client_id = "${CLIENT}"`,
      '/etc/mcp/mcp.crt': at('mcp.crt'),
      '/etc/mcp/mcp.key': at('mcp.key'),
    });
    await writeFile(at('mcp.toml'), toml);
    server = await startMcpOverHttp(await freePort(), ['--config', at('mcp.toml')]);
  });
  afterAll(async () => {
    await server?.close();
    root.close();
    await stage.stop();
  });

  const requestsOf = async (user: string) => {
    await stage.server.audit.flush();
    return (await auditedBy(stage)).filter(
      ({ user: { username }, annotations }) =>
        username === `demo:${user}` && annotations['portcullis.dev/actor'] === CLIENT,
    );
  };

  it('exchanges the user’s token for each call, and may do less than the user', async () => {
    const client = await mcpOverHttp(server.url, await stage.subject('root', AUDIENCE));
    const listed = await client.call('pods_list_in_namespace', { namespace: NAMESPACE });
    expect(listed).toEqual({ isError: false, text: expect.stringContaining('web-1') });
    const deleted = await client.call('pods_delete', { namespace: NAMESPACE, name: 'web-1' });
    const why = `this session was delegated to "${CLIENT}": read-only in default, shop`;
    expect(deleted).toEqual({ isError: true, text: expect.stringContaining(why) });
    expect((await root.kubectl('get', 'pod', 'web-1')).code).toBe(0);
    expect((await requestsOf('root')).map(({ verb, responseStatus }) => `${verb} ${responseStatus?.code}`)).toEqual(
      expect.arrayContaining(['list 200', 'delete 403']),
    );
  });

  it('acts for each user as that user, and for none whose token is for another program', async () => {
    const alice = await mcpOverHttp(server.url, await stage.subject('alice', AUDIENCE));
    expect((await alice.call('pods_list_in_namespace', { namespace: NAMESPACE })).isError).toBe(false);
    expect((await requestsOf('alice')).map(({ verb }) => verb)).toContain('list');
    const other = await stage.subject('alice', 'https://mcp-tls.example.com/mcp');
    await expect(mcpOverHttp(server.url, other)).rejects.toThrow('HTTP 401');
  });

  it('can do nothing more once the user is revoked, which is audited', async () => {
    const alice = await mcpOverHttp(server.url, await stage.subject('alice', AUDIENCE));
    const list = () => alice.call('pods_list_in_namespace', { namespace: NAMESPACE });
    expect((await list()).isError).toBe(false);
    const revoked = await root.portcullis('revoke', '--account', 'demo/alice', '--reason', 'laptop lost');
    expect(revoked.stdout, revoked.all).toMatch(/^complete: /);
    const before = (await stage.events('delegation-refused')).length;
    await expect(list()).rejects.toThrow('The session of this subject token is over: it has expired or was revoked.');
    const refused = (await stage.events('delegation-refused')).slice(before);
    expect(refused.map(({ annotations }) => annotations)).toMatchObject([
      { 'portcullis.dev/client': CLIENT, 'portcullis.dev/reason': 'session_revoked' },
    ]);
  });
});
