/** Sends a row of the corpus as it is written, and returns the result on both sides. */
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { ALICE, HOST, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import type { RecordedConnection } from '../support/upstream.ts';
import type { Attack, Reached } from './attack.ts';

export interface Outcome {
  /** Everything that came back, one character a byte. */
  readonly received: string;
  readonly statuses: readonly number[];
  /** Every byte at the API server, one entry a request. */
  readonly reached: readonly string[];
  /** The reviews that the proxy made for the user, as `resource name`: in the order of their texts, because they are made at once. */
  readonly reviews: readonly string[];
  readonly audited: readonly AuditEvent[];
  readonly reasons: readonly string[];
}

/** Statuses of the responses in what came back; an interim `100 Continue` counts as one. */
export const statusesOf = (received: Buffer | string): number[] =>
  [...received.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code));

const REVIEW = 'POST /apis/authorization.k8s.io/v1/subjectaccessreviews HTTP/1.1\r\n';

interface Review {
  readonly spec: {
    readonly user: string;
    readonly resourceAttributes: { readonly verb: string; readonly resource: string; readonly name: string };
  };
}

export class Wire {
  readonly plane: TestPlane;
  readonly user: TestUser;
  /** Bytes of each connection at the API server that earlier rows account for. */
  readonly #seen = new Map<RecordedConnection, number>();

  constructor(plane: TestPlane, user: TestUser) {
    this.plane = plane;
    this.user = user;
  }

  /** Sends everything, waits for the responses, ends its side, and waits for the end of the connection. */
  async send(attack: Attack): Promise<Outcome> {
    const servername = attack.servername === undefined ? HOST : attack.servername;
    const enough = (received: Buffer): boolean => statusesOf(received).length >= Math.max(attack.statuses.length, 1);
    const { received, ...rest } = await this.talk(Buffer.from(this.#bytes(attack), 'latin1'), {
      enough,
      lines: attack.reached.length + (attack.recorded ?? attack.reasons).length,
      tls: {
        ...(servername === null ? {} : { servername }),
        ...(attack.anonymous === true ? {} : this.user.certificate),
      },
    });
    return { ...rest, received: received.toString('latin1'), statuses: statusesOf(received) };
  }

  /**
   * One connection, any bytes.
   * @param options.enough whether what came back is all that was waited for
   * @param options.lines audit events to wait for
   */
  async talk(
    bytes: Buffer,
    {
      enough,
      lines,
      rejections = 0,
      tls,
    }: { enough: (received: Buffer) => boolean; lines: number; rejections?: number; tls: ConnectionOptions },
  ): Promise<Omit<Outcome, 'received' | 'statuses'> & { readonly received: Buffer }> {
    const { plane } = this;
    plane.audited.length = 0;
    plane.counted.rejections.length = 0;
    this.#newBytes();
    const at = { host: '127.0.0.1', port: plane.port, ca: plane.ca };
    const socket = connect({ ...at, checkServerIdentity: () => undefined, ...tls });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    socket.on('error', () => undefined);
    // An RST is a response as well, and no failure of the test.
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'secureConnect');
    socket.write(bytes);
    await until(() => enough(Buffer.concat(chunks)) || socket.destroyed, 'an answer');
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    socket.end();
    await closed;
    // What is recorded when both sides are closed may come after this side knows. The comparison reports what never comes.
    const { counted, guard, audited } = plane;
    const recorded = until(
      () => guard.inFlight === 0 && audited.length >= lines && counted.rejections.length >= rejections,
      'the audit events and counts',
      2_000,
    );
    await recorded.catch(() => undefined);
    return {
      received: Buffer.concat(chunks),
      ...this.#reached(),
      audited: [...plane.audited],
      reasons: [...plane.counted.rejections],
    };
  }

  /** What the API server must have seen, to the byte. */
  expected({ line, headers = [], body = '' }: Reached, auditId: string): string {
    // What frames a body is written after everything else.
    const [own, last] = [headers.filter((header) => !isFraming(header)), headers.filter(isFraming)];
    const upgrade = own.some((header) => header.startsWith('Upgrade: '));
    const upstreamHost = this.plane.upstream.server.replace('https://', '');
    const lines = [
      `${line} HTTP/1.1`,
      `Host: ${upstreamHost}`,
      ...own,
      'Authorization: Bearer upstream-token',
      `Impersonate-User: ${ALICE.username}`,
      `Impersonate-Uid: ${ALICE.uid}`,
      ...ALICE.groups.map((group) => `Impersonate-Group: ${group}`),
      `Impersonate-Extra-portcullis.dev%2Fsession: ${this.user.session.id}`,
      `Audit-ID: ${auditId}`,
      'X-Forwarded-For: 127.0.0.1',
      ...(upgrade && line.startsWith('POST') ? ['Content-Length: 0'] : []),
      ...last,
    ];
    return `${lines.join('\r\n')}\r\n\r\n${this.#filled(body)}`;
  }

  #bytes({ bytes, exact }: Attack): string {
    return exact === true ? this.named(bytes) : this.#filled(bytes);
  }

  #filled(text: string): string {
    return this.named(text).replaceAll('\n', '\r\n');
  }

  /** With the placeholders replaced by valid values. */
  named(text: string): string {
    const { token } = this.user;
    return text
      .replaceAll('BASE64TOKEN', Buffer.from(token).toString('base64url'))
      .replaceAll('UNSIGNED', token.slice(0, token.lastIndexOf('.')))
      .replaceAll('TOKEN', token)
      .replaceAll('HOST', HOST);
  }

  /** Reviews have their own connections, so anything else on one of those counts as having reached the API server. */
  #reached(): Pick<Outcome, 'reached' | 'reviews'> {
    const all = this.#newBytes();
    const isReview = (bytes: string): boolean =>
      bytes.split(REVIEW).slice(1).every(isOneReview) && bytes.startsWith(REVIEW);
    const reviews = all.filter(isReview).flatMap((bytes) => bytes.split(REVIEW).slice(1));
    return { reached: all.filter((bytes) => !isReview(bytes)), reviews: reviews.map(questionOf).toSorted() };
  }

  #newBytes(): string[] {
    const fresh: string[] = [];
    for (const connection of this.plane.upstream.connections) {
      const all = connection.received();
      const before = this.#seen.get(connection) ?? 0;
      this.#seen.set(connection, all.length);
      if (all.length > before) fresh.push(all.slice(before));
    }
    return fresh;
  }
}

const isFraming = (header: string): boolean => /^(?:Content-Length|Transfer-Encoding):/.test(header);

const bodyOf = (request: string): string => request.slice(request.indexOf('\r\n\r\n') + 4);

function isOneReview(request: string): boolean {
  const length = /^content-length: (\d+)\r$/im.exec(request)?.[1];
  return Number(length) === bodyOf(request).length;
}

function questionOf(request: string): string {
  const { spec } = JSON.parse(bodyOf(request)) as Review;
  const { verb, resource, name } = spec.resourceAttributes;
  return `may ${spec.user} ${verb} ${resource} ${name}`;
}
