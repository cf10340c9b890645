import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SignJWT } from 'jose';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { verifyAuditLog } from '../../src/audit/verify/verify.ts';
import { loadAuditPublicKeys } from '../../src/config/keys.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { clusterAudience } from '../../src/core/core.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServing, type Serving } from '../fixtures/serving.ts';
import { pairsOf } from '../support/data-plane.ts';
import { startTestInstance } from '../support/instance.ts';
import { newClientKey, OAuthClient, type ClientKey, type Endpoints } from '../support/oauth-client.ts';
import { answerReviews } from '../support/reviews.ts';
import { startUpstream, type Answer, type RecordedRequest, type RecordingUpstream } from '../support/upstream.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LIMIT = { timeout: 180_000 };
const ROUNDS = 3;
const CLIENTS = 24;
const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const POD = '/api/v1/namespaces/default/pods/web';
const BUILDER = 'system:serviceaccount:ci:builder';

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly upgrade?: string;
  /** The verb of a change in the audit log. */
  readonly verb?: string;
  /** A service account with its own token, instead of alice. */
  readonly foreign?: true;
}

const CHANGES: readonly Sent[] = [
  { method: 'POST', path: CONFIGMAPS, verb: 'create' },
  { method: 'PUT', path: `${CONFIGMAPS}/one`, verb: 'update' },
  { method: 'PATCH', path: `${CONFIGMAPS}/one`, verb: 'patch' },
  { method: 'DELETE', path: `${CONFIGMAPS}/one`, verb: 'delete' },
  { method: 'DELETE', path: CONFIGMAPS, verb: 'deletecollection' },
  { method: 'POST', path: '/api/v1/namespaces/default/serviceaccounts/builder/token', verb: 'create' },
  { method: 'POST', path: `${POD}/eviction`, verb: 'create' },
  { method: 'POST', path: '/anything/else', verb: 'post' },
  { method: 'GET', path: `${POD}/exec?command=id`, upgrade: 'websocket', verb: 'get' },
  { method: 'POST', path: `${POD}/exec?command=id`, upgrade: 'SPDY/3.1', verb: 'create' },
  { method: 'GET', path: `${POD}/attach`, upgrade: 'websocket', verb: 'get' },
  { method: 'GET', path: `${POD}/portforward`, upgrade: 'websocket', verb: 'get' },
  // The effect of a GET on a pod or a kubelet is not known here.
  { method: 'GET', path: '/api/v1/nodes/one/proxy/run/default/web/main', verb: 'get' },
  { method: 'DELETE', path: `${CONFIGMAPS}/one`, foreign: true, verb: 'delete' },
];

const READS: readonly Sent[] = [
  { method: 'GET', path: CONFIGMAPS },
  { method: 'HEAD', path: `${CONFIGMAPS}/one` },
  { method: 'POST', path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews' },
];

/** A server process whose API server records its requests, with `audit` as the whole configuration of the audit log. */
class Context {
  readonly instance: RunningDemo;
  readonly upstream: RecordingUpstream;
  readonly endpoints: Endpoints;
  readonly key: ClientKey;
  readonly foreign: string;

  private constructor(given: Pick<Context, 'instance' | 'upstream' | 'endpoints' | 'key' | 'foreign'>) {
    this.instance = given.instance;
    this.upstream = given.upstream;
    this.endpoints = given.endpoints;
    this.key = given.key;
    this.foreign = given.foreign;
  }

  static async open(): Promise<Context> {
    const [instance, upstream] = [await startTestInstance(), await startUpstream()];
    // The same addresses in a separate process that can be killed.
    await instance.server.stop();
    await writeFile(join(instance.files.directory, 'cluster-ca.crt'), upstream.ca);
    const foreign = await new SignJWT({ iss: 'https://kubernetes.default.svc', sub: BUILDER })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.alloc(32));
    const endpoints = instance;
    return new Context({ instance, upstream, endpoints, key: await newClientKey(), foreign });
  }

  get auditLog(): string {
    return this.instance.files.auditLog;
  }

  /** Responds to the reviews of the proxy, and to every other request with an empty list. */
  get answer(): Answer {
    const own = readFileSync(join(this.instance.files.directory, 'cluster-token'), 'utf8');
    const names = new Map([
      [own, 'system:serviceaccount:portcullis:portcullis'],
      [this.foreign, BUILDER],
    ]);
    return answerReviews(({ spec }) => ({
      authenticated: true,
      user: { username: names.get(spec.token ?? ''), uid: 'u', groups: ['system:serviceaccounts'] },
    })).answer;
  }

  async serve(audit: object = {}): Promise<{ readonly server: Serving; readonly token: string }> {
    this.upstream.answer = this.answer;
    const { config } = this.instance.files;
    const settings = parse(await readFile(config, 'utf8')) as { clusters: object[] };
    const clusters = settings.clusters.map((cluster) => ({
      ...cluster,
      server: this.upstream.server,
      serviceAccountPassthrough: true,
    }));
    const sinks = [{ type: 'file', path: this.auditLog }];
    const file = join(this.instance.files.directory, 'process.yaml');
    await writeFile(file, stringify({ ...settings, clusters, audit: { sinks, ...audit } }, { lineWidth: 0 }));
    const opsPort = Number(new URL(this.instance.urls.ops).port);
    const server = await startServing({ root: ROOT, file, opsPort });
    onTestFinished(() => server.kill());
    const client = new OAuthClient(this.endpoints, this.key);
    const { accessToken } = await client.signIn('alice', { resource: clusterAudience('demo') });
    await client.close();
    return { server, token: accessToken };
  }

  async close(): Promise<void> {
    await this.upstream.close();
    await this.instance.stop();
  }
}

/** @returns the status of the response; 0 when the connection broke */
async function send(context: Context, token: string, sent: Sent | undefined, agent: Agent): Promise<number> {
  if (sent === undefined) throw new Error('nothing to send');
  const { method, path, upgrade, foreign } = sent;
  const asked = request(`${context.endpoints.api}${path}`, {
    method,
    agent,
    headers: {
      authorization: `Bearer ${foreign ? context.foreign : token}`,
      ...(upgrade === undefined
        ? {}
        : { connection: 'Upgrade', upgrade, 'sec-websocket-key': 'k', 'sec-websocket-version': '13' }),
    },
  });
  const answered = Promise.withResolvers<number>();
  asked.on('response', (answer: IncomingMessage) => {
    answer.on('error', () => undefined).resume();
    answer.on('close', () => answered.resolve(answer.statusCode ?? 0));
  });
  asked.on('upgrade', (answer, socket) => {
    socket.destroy();
    answered.resolve(answer.statusCode ?? 0);
  });
  asked.on('error', () => answered.resolve(0));
  asked.end();
  return answered.promise;
}

const agentOf = (context: Context): Agent => {
  const agent = new Agent({ keepAlive: true, ca: context.endpoints.ca, ...context.key });
  onTestFinished(() => agent.destroy());
  return agent;
};

const auditIdOf = ({ rawHeaders }: RecordedRequest): string =>
  pairsOf(rawHeaders).find(([name]) => name.toLowerCase() === 'audit-id')?.[1] ?? '';

/** Returns the requests on behalf of a user in the API server's own log. */
const asked = ({ upstream }: Context): readonly RecordedRequest[] =>
  upstream.requests.filter((one) => auditIdOf(one) !== '');

/** Returns the events of whole lines, without a line that a kill tore. */
const linesOf = (path: string): readonly AuditEvent[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => (line.endsWith('}}') ? [JSON.parse(line) as AuditEvent] : []));

describe('a change', () => {
  let context: Context;
  beforeAll(async () => {
    context = await Context.open();
  });
  afterAll(() => context.close());
  beforeEach(async () => {
    context.upstream.clear();
    context.upstream.answerUpgrade = (_req, socket) => socket.destroy();
    await rm(context.auditLog, { force: true });
  });

  it(
    'that the API server has in its log is in our audit log, however often the process is killed under load',
    LIMIT,
    async () => {
      const executed: string[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        context.upstream.clear();
        const { server, token } = await context.serve();
        const enough = randomInt(150, 400);
        let killed = false;
        const loop = async (first: number): Promise<void> => {
          const agent = agentOf(context);
          for (let n = first; !killed; n += 1) {
            await send(context, token, CHANGES[n % CHANGES.length], agent);
            if (killed || asked(context).length < enough) continue;
            killed = true;
            await server.kill();
          }
        };
        await Promise.all(Array.from({ length: CLIENTS }, (_, n) => loop(n)));
        executed.push(...asked(context).map(auditIdOf));
      }
      const written = new Set(linesOf(context.auditLog).map(({ auditID }) => auditID));
      expect(executed.length).toBeGreaterThan(ROUNDS * 150);
      expect(executed.filter((id) => !written.has(id))).toEqual([]);
      const keys = await loadAuditPublicKeys(join(context.instance.files.directory, 'keys/audit'));
      expect((await verifyAuditLog({ files: [context.auditLog], keys })).findings).toEqual([]);
    },
  );

  it.each(['changes', 'sync', 'off'] as const)(
    'is in the audit log before the API server receives it, and a read is not: %s',
    LIMIT,
    async (writeAhead) => {
      const { server, token } = await context.serve({ writeAhead });
      const agent = agentOf(context);
      const early: string[] = [];
      const check = (req: IncomingMessage): void => {
        const id = String(req.headers['audit-id'] ?? '');
        const lines = linesOf(context.auditLog).filter(({ auditID }) => auditID === id);
        early.push(lines.map(({ stage, verb, user }) => `${stage} ${verb} ${user.username}`).join() || 'nothing');
      };
      const { answer } = context;
      context.upstream.answer = (req, res) => {
        if (req.headers['audit-id'] !== undefined) check(req);
        answer(req, res);
      };
      context.upstream.answerUpgrade = (req, socket) => {
        check(req);
        socket.destroy();
      };
      for (const one of [...CHANGES, ...READS]) await send(context, token, one, agent);
      const off = writeAhead === 'off';
      expect(early).toEqual([
        ...CHANGES.map(({ foreign, verb }) =>
          off ? 'nothing' : `RequestReceived ${verb} ${foreign ? BUILDER : 'demo:alice'}`,
        ),
        ...READS.map(() => 'nothing'),
      ]);
      await server.stop();
      const stages = linesOf(context.auditLog).filter(
        ({ annotations }) => annotations['portcullis.dev/cluster'] === 'demo',
      );
      const of = (wanted: string): readonly string[] =>
        stages.filter(({ stage }) => stage === wanted).map(({ auditID }) => auditID);
      // Every request that has begun has ended as well.
      expect(of('ResponseComplete')).toHaveLength(CHANGES.length + READS.length);
      expect(of('RequestReceived')).toEqual(off ? [] : of('ResponseComplete').slice(0, CHANGES.length));
    },
  );

  it('is in the audit log of users, whole, although a pod responds with 401 and a query is padded', LIMIT, async () => {
    const { server, token } = await context.serve({ writeAhead: 'off', rejectionsPerMinute: 1, execCommands: true });
    const agent = agentOf(context);
    const { answer } = context;
    context.upstream.answer = (req, res) => {
      if (req.url?.includes('/proxy/') === true) res.writeHead(401).end();
      else answer(req, res);
    };
    const statuses: number[] = [];
    for (let n = 0; n < 20; n += 1)
      statuses.push(await send(context, token, { method: 'POST', path: `${POD}/proxy/run` }, agent));
    expect(new Set(statuses)).toEqual(new Set([401]));
    await send(
      context,
      token,
      { method: 'GET', path: `${POD}/exec?x=${'a'.repeat(9000)}&command=reboot`, upgrade: 'websocket' },
      agent,
    );
    await server.stop();
    const executed = new Set(asked(context).map(auditIdOf));
    const ended = linesOf(context.auditLog).filter(
      ({ auditID, stage }) => executed.has(auditID) && stage === 'ResponseComplete',
    );
    expect([executed.size, ended.length]).toEqual([21, 21]);
    expect(ended.at(-1)).toMatchObject({
      requestURI: expect.stringMatching(/\/exec\?command=reboot&x=a{8000}.*\.\.\.TRUNCATED$/),
      annotations: { 'portcullis.dev/cut': expect.stringMatching(/^requestURI=90\d\d$/) },
    });
  });

  it.each([
    ['block', 503, 0],
    ['count', 200, 1],
  ] as const)(
    'whose audit event cannot be written gets the status of onFailure: %s is %i',
    LIMIT,
    async (onFailure, code, reached) => {
      const folder = context.instance.files.directory;
      const turnTo = async (target: string): Promise<void> => {
        await symlink(target, join(folder, 'next'));
        await rename(join(folder, 'next'), join(folder, 'disk'));
      };
      await mkdir(join(folder, `space-${onFailure}`));
      await turnTo(join(folder, `space-${onFailure}`));
      const { server, token } = await context.serve({
        onFailure,
        sinks: [{ type: 'file', path: join(folder, 'disk/full'), rejectedPath: join(folder, 'rejected.log') }],
      });
      const agent = agentOf(context);
      const [change] = CHANGES;
      expect(await send(context, token, change, agent)).toBe(200);
      // From here on the disk is the kernel's full device, and the server has not noticed it yet.
      await turnTo('/dev');
      expect(await send(context, token, change, agent)).toBe(code);
      expect(asked(context)).toHaveLength(1 + reached);
      await turnTo(join(folder, `space-${onFailure}`));
      await vi.waitFor(async () => expect(await send(context, token, change, agent)).toBe(200), { timeout: 30_000 });
      await server.stop();
      // The events that waited are written, that of the rejection as well.
      const codes = linesOf(join(folder, `space-${onFailure}`, 'full'))
        .filter(({ stage, verb }) => verb === 'create' && stage === 'ResponseComplete')
        .map(({ responseStatus }) => responseStatus?.code);
      expect(codes.slice(0, 2)).toEqual([200, code]);
    },
  );
});
