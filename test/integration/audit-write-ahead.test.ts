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
  /** Of a change: as the audit log has it. */
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
  // What a pod or a kubelet makes of a GET nobody here knows.
  { method: 'GET', path: '/api/v1/nodes/one/proxy/run/default/web/main', verb: 'get' },
  { method: 'DELETE', path: `${CONFIGMAPS}/one`, foreign: true, verb: 'delete' },
];

const READS: readonly Sent[] = [
  { method: 'GET', path: CONFIGMAPS },
  { method: 'HEAD', path: `${CONFIGMAPS}/one` },
  { method: 'POST', path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews' },
];

/** A server process whose API server records, with nothing but what `audit` says of its audit log. */
class Ground {
  readonly instance: RunningDemo;
  readonly upstream: RecordingUpstream;
  readonly endpoints: Endpoints;
  readonly key: ClientKey;
  readonly foreign: string;

  private constructor(given: Pick<Ground, 'instance' | 'upstream' | 'endpoints' | 'key' | 'foreign'>) {
    this.instance = given.instance;
    this.upstream = given.upstream;
    this.endpoints = given.endpoints;
    this.key = given.key;
    this.foreign = given.foreign;
  }

  static async open(): Promise<Ground> {
    const [instance, upstream] = [await startTestInstance(), await startUpstream()];
    // The same addresses, in a process of its own that can be killed.
    await instance.server.stop();
    const ca = await readFile(join(instance.files.directory, 'ca.crt'), 'utf8');
    await writeFile(join(instance.files.directory, 'cluster-ca.crt'), upstream.ca);
    const foreign = await new SignJWT({ iss: 'https://kubernetes.default.svc', sub: BUILDER })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.alloc(32));
    const endpoints = { web: instance.urls.web, api: instance.urls.api, ca };
    return new Ground({ instance, upstream, endpoints, key: await newClientKey(), foreign });
  }

  get auditLog(): string {
    return this.instance.files.auditLog;
  }

  /** Answers the proxy's own questions, and everything else with an empty list. */
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

/** @returns the status of the answer; 0 where the connection broke */
async function send(ground: Ground, token: string, sent: Sent | undefined, agent: Agent): Promise<number> {
  if (sent === undefined) throw new Error('nothing to send');
  const { method, path, upgrade, foreign } = sent;
  const asked = request(`${ground.endpoints.api}${path}`, {
    method,
    agent,
    headers: {
      authorization: `Bearer ${foreign ? ground.foreign : token}`,
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

const agentOf = (ground: Ground): Agent => {
  const agent = new Agent({ keepAlive: true, ca: ground.endpoints.ca, ...ground.key });
  onTestFinished(() => agent.destroy());
  return agent;
};

const auditIdOf = ({ rawHeaders }: RecordedRequest): string =>
  pairsOf(rawHeaders).find(([name]) => name.toLowerCase() === 'audit-id')?.[1] ?? '';

/** The API server's own log of what was asked in somebody's name. */
const asked = ({ upstream }: Ground): readonly RecordedRequest[] =>
  upstream.requests.filter((one) => auditIdOf(one) !== '');

/** Whole lines: one that a kill tore is none. */
const linesOf = (path: string): readonly AuditEvent[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => (line.endsWith('}}') ? [JSON.parse(line) as AuditEvent] : []));

describe('a change', () => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await Ground.open();
  });
  afterAll(() => ground.close());
  beforeEach(async () => {
    ground.upstream.clear();
    ground.upstream.answerUpgrade = (_req, socket) => socket.destroy();
    await rm(ground.auditLog, { force: true });
  });

  it('of the API server’s own log is in ours, however often the process is killed under load', LIMIT, async () => {
    const carriedOut: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      ground.upstream.clear();
      const { server, token } = await ground.serve();
      const enough = randomInt(150, 400);
      let killed = false;
      const loop = async (first: number): Promise<void> => {
        const agent = agentOf(ground);
        for (let n = first; !killed; n += 1) {
          await send(ground, token, CHANGES[n % CHANGES.length], agent);
          if (killed || asked(ground).length < enough) continue;
          killed = true;
          await server.kill();
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, (_, n) => loop(n)));
      carriedOut.push(...asked(ground).map(auditIdOf));
    }
    const written = new Set(linesOf(ground.auditLog).map(({ auditID }) => auditID));
    expect(carriedOut.length).toBeGreaterThan(ROUNDS * 150);
    expect(carriedOut.filter((id) => !written.has(id))).toEqual([]);
    const keys = await loadAuditPublicKeys(join(ground.instance.files.directory, 'keys/audit'));
    expect((await verifyAuditLog({ files: [ground.auditLog], keys })).findings).toEqual([]);
  });

  it.each(['changes', 'sync', 'off'] as const)(
    'stands there before the API server gets it, and a read does not: %s',
    LIMIT,
    async (writeAhead) => {
      const { server, token } = await ground.serve({ writeAhead });
      const agent = agentOf(ground);
      const early: string[] = [];
      const look = (req: IncomingMessage): void => {
        const id = String(req.headers['audit-id'] ?? '');
        const lines = linesOf(ground.auditLog).filter(({ auditID }) => auditID === id);
        early.push(lines.map(({ stage, verb, user }) => `${stage} ${verb} ${user.username}`).join() || 'nothing');
      };
      const { answer } = ground;
      ground.upstream.answer = (req, res) => {
        if (req.headers['audit-id'] !== undefined) look(req);
        answer(req, res);
      };
      ground.upstream.answerUpgrade = (req, socket) => {
        look(req);
        socket.destroy();
      };
      for (const one of [...CHANGES, ...READS]) await send(ground, token, one, agent);
      const off = writeAhead === 'off';
      expect(early).toEqual([
        ...CHANGES.map(({ foreign, verb }) =>
          off ? 'nothing' : `RequestReceived ${verb} ${foreign ? BUILDER : 'demo:alice'}`,
        ),
        ...READS.map(() => 'nothing'),
      ]);
      await server.stop();
      const stages = linesOf(ground.auditLog).filter(
        ({ annotations }) => annotations['portcullis.dev/cluster'] === 'demo',
      );
      const of = (wanted: string): readonly string[] =>
        stages.filter(({ stage }) => stage === wanted).map(({ auditID }) => auditID);
      // Whatever has begun has ended as well.
      expect(of('ResponseComplete')).toHaveLength(CHANGES.length + READS.length);
      expect(of('RequestReceived')).toEqual(off ? [] : of('ResponseComplete').slice(0, CHANGES.length));
    },
  );

  it.each([
    ['block', 503, 0],
    ['count', 200, 1],
  ] as const)('whose audit event cannot be written: %s answers %i', LIMIT, async (onFailure, code, reached) => {
    const folder = ground.instance.files.directory;
    const turnTo = async (target: string): Promise<void> => {
      await symlink(target, join(folder, 'next'));
      await rename(join(folder, 'next'), join(folder, 'disk'));
    };
    await mkdir(join(folder, `room-${onFailure}`));
    await turnTo(join(folder, `room-${onFailure}`));
    const { server, token } = await ground.serve({
      onFailure,
      sinks: [{ type: 'file', path: join(folder, 'disk/full'), rejectedPath: join(folder, 'rejected.log') }],
    });
    const agent = agentOf(ground);
    const [change] = CHANGES;
    expect(await send(ground, token, change, agent)).toBe(200);
    // From here on the disk is the kernel's full device, and nobody has noticed yet.
    await turnTo('/dev');
    expect(await send(ground, token, change, agent)).toBe(code);
    expect(asked(ground)).toHaveLength(1 + reached);
    await turnTo(join(folder, `room-${onFailure}`));
    await vi.waitFor(async () => expect(await send(ground, token, change, agent)).toBe(200), { timeout: 30_000 });
    await server.stop();
    // What waited is there, the refusal as well.
    const codes = linesOf(join(folder, `room-${onFailure}`, 'full'))
      .filter(({ stage, verb }) => verb === 'create' && stage === 'ResponseComplete')
      .map(({ responseStatus }) => responseStatus?.code);
    expect(codes.slice(0, 2)).toEqual([200, code]);
  });
});
