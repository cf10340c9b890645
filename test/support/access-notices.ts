/** Notices of access requests, and a real receiver of them that verifies their signatures by itself. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { AccessNotice } from '../../src/core/access/notice.ts';
import type { AccessRequest } from '../../src/core/access/request.ts';
import type { TestCertificate } from './upstream.ts';

export const SECRET = `whsec_${Buffer.alloc(32, 'first').toString('base64')}`;

export const accessRequest = (changes: Partial<AccessRequest> = {}): AccessRequest => ({
  id: '7fK2mQ9cT4yXbN1aLw8sRg',
  session: 'session-1',
  account: 'corp/248289761001',
  provider: 'corp',
  username: 'corp:jane@example.com',
  knownAs: ['jane@example.com'],
  terms: {
    name: 'shop-admins',
    description: 'Repairs in the shop',
    groups: ['granted:shop-admins'],
    clusters: ['prod'],
    requesters: ['corp:developers'],
    approval: { groups: ['corp:platform'], count: 2 },
  },
  reason: 'INC-4711',
  seconds: 5400,
  requestedAt: 1_772_442_847,
  openUntil: 1_772_529_247,
  address: '203.0.113.7',
  state: 'open',
  decisions: [],
  ...changes,
});

/** @param number so that each is another request */
export const notice = (number = 1, changes: Partial<AccessNotice> = {}): AccessNotice => ({
  kind: 'requested',
  request: accessRequest({ id: `request-${number}` }),
  ...changes,
});

type Answer = (res: ServerResponse, id: string) => unknown;

export class NoticeServer {
  readonly server: Server;
  /** Ids of all that came, whatever it was answered. */
  readonly asked: string[] = [];
  /** When each came, by the monotonic clock. */
  readonly askedAt: number[] = [];
  /** Ids of those that were accepted. */
  readonly accepted: string[] = [];
  readonly bodies: string[] = [];
  /** What its own code finds wrong. */
  readonly wrong: string[] = [];
  mostAtOnce = 0;
  readonly #open = new Set<ServerResponse>();
  /** Those to come, the first first; then it accepts. */
  readonly script: Answer[] = [];
  secrets = [SECRET];

  static async start(certificate: TestCertificate, port = 0): Promise<NoticeServer> {
    const server = createServer(certificate, (req, res) => void receiver.#take(req, res));
    const receiver = new NoticeServer(server);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  private constructor(server: Server) {
    this.server = server;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}/hook/secret-path`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.#open.add(res);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#open.size);
    res.once('close', () => this.#open.delete(res));
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const id = String(req.headers['webhook-id']);
    this.asked.push(id);
    this.askedAt.push(performance.now());
    if (!this.#isSigned(req, body)) this.wrong.push(id);
    const answer = this.script.shift();
    if (answer !== undefined) return void answer(res, id);
    this.accept(res, id);
    this.bodies.push(body.toString());
  }

  accept(res: ServerResponse, id: string): void {
    this.accepted.push(id);
    // Before the sender has it, and can send the next.
    this.#open.delete(res);
    res.writeHead(202).end();
  }

  /** As the specification says it to receivers. */
  #isSigned({ headers }: IncomingMessage, body: Buffer): boolean {
    const seconds = Number(headers['webhook-timestamp']);
    if (!(Math.abs(Date.now() / 1000 - seconds) < 300)) return false;
    const signed = Buffer.concat([Buffer.from(`${String(headers['webhook-id'])}.${seconds}.`), body]);
    const given = String(headers['webhook-signature']).split(' ');
    return this.secrets.some((secret) => {
      const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
      const expected = Buffer.from(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
      return given.some((one) => one.length === expected.length && timingSafeEqual(Buffer.from(one), expected));
    });
  }
}
