/**
 * Recognises a 403 of the API server that is about the proxy's own account and not about the user.
 *
 * Relayed, it would name the proxy's service account to a user whose own rights are sufficient, and client-go would take for final what an
 * API server says that has just started and does not know its roles yet.
 *
 * The API server checks impersonation before everything else that is asked of a request, and asks it about the account whose token came:
 * the verb `impersonate` in its own message can mean no other account than ours, whatever that is called. So no name is learnt in advance,
 * which an API server that does not know its roles yet would not tell. Everything that does not read exactly so is relayed.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { parse as parseYaml } from 'yaml';
import type { Admitted } from '../admission/admission.ts';
import { isMembers } from '../admission/cluster-reviews.ts';
import { flatHeaders, valuesOf } from '../raw-headers.ts';
import { ownAccountRejection } from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Bytes. The longest names that the proxy sends make a Status of some kilobytes; longer is something else. */
const LONGEST_STATUS = 65_536;

/** What the API server said, for the log. Characters; it quotes names that the client may have chosen. */
const LOGGED_CHARACTERS = 500;

/**
 * `RESOURCE "NAME" is forbidden: User "ACCOUNT" cannot impersonate resource "users" in API group …`, as the API server words it. Verbs of
 * constrained impersonation (KEP-5284) have a colon: `impersonate:user-info`, `impersonate-on:user-info:list`, also of a path.
 */
const DENIAL =
  /^(?:[^\s"]+ (?:"(?:[^"\\]|\\.)*" )?is )?forbidden: User "(?:[^"\\]|\\.)*" cannot (?:impersonate resource "([a-z]+)[/"]|impersonate(?:-on)?:[a-z:-]+ (?:resource|path) ")/;

export interface OwnAccountDenial {
  /** What the client is answered. */
  readonly rejection: Rejection;
  /** The API server's own message, for the log alone. */
  readonly said: string;
}

/** Holds the body of a 403 back until it is known whom it is about. */
export class HeldForbidden {
  readonly #messageOf: (body: Buffer) => string;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  private constructor(messageOf: (body: Buffer) => string) {
    this.#messageOf = messageOf;
  }

  /**
   * @param raw the API server's headers, flat
   * @returns undefined for an answer that cannot be about our account: it is to be relayed piece by piece
   */
  static of(
    status: number,
    raw: readonly string[],
    { info, target, impersonates }: Pick<Admitted, 'info' | 'target' | 'impersonates'>,
  ): HeldForbidden | undefined {
    if (status !== 403 || !impersonates) return undefined;
    // An attacker who answers in a pod's or a service's place writes any text, so what stands behind a proxy subresource is not read.
    if (info.subresource === 'proxy' || info.verb === 'proxy') return undefined;
    // Priority and fairness come after impersonation: this request has passed it, and an aggregated API may have answered.
    if (valuesOf(raw, 'x-kubernetes-pf-flowschema-uid').length > 0) return undefined;
    // An attacker asks for a resource whose name reads like the API server's message, so that the operator is woken: the one part of the
    // message that comes from outside and is not quoted.
    if (decodeURIComponent(target.split('?', 1)[0] ?? '').includes(' impersonate')) return undefined;
    const [type = ''] = valuesOf(raw, 'content-type');
    const messageOf = MESSAGE_OF.get(type.split(';', 1)[0]?.trim().toLowerCase() ?? '');
    return messageOf === undefined ? undefined : new HeldForbidden(messageOf);
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** @returns false where it is longer than such an answer can be, so that all of it is to be relayed */
  take(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    return this.#length <= LONGEST_STATUS;
  }

  /** Judges the whole body. @returns undefined where it is about the user */
  denial(): OwnAccountDenial | undefined {
    const message = this.#messageOf(Buffer.concat(this.#chunks));
    const match = DENIAL.exec(message);
    if (match === null) return undefined;
    return { rejection: ownAccountRejection(match[1]), said: message.slice(0, LOGGED_CHARACTERS) };
  }
}

type Controller = Dispatcher.DispatchController;

/** What is told of each answer, or of the denial in its place. */
export interface OwnAccountHandler extends Required<Pick<Dispatcher.DispatchHandler, Told>> {
  onOwnAccountDenied(denial: OwnAccountDenial): void;
}

type Told = 'onRequestStart' | 'onResponseStart' | 'onResponseData' | 'onResponseEnd' | 'onResponseError';

/** Stands between undici and what relays an answer, which so learns of an answer that is held back when it is judged. */
export class OwnAccountFilter implements Dispatcher.DispatchHandler {
  readonly #next: OwnAccountHandler;
  readonly #admitted: Admitted;
  #held: HeldForbidden | undefined;

  constructor(next: OwnAccountHandler, admitted: Admitted) {
    this.#next = next;
    this.#admitted = admitted;
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.#next.onRequestStart(controller, context);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    this.#held =
      status === 403 ? HeldForbidden.of(status, flatHeaders(controller.rawHeaders), this.#admitted) : undefined;
    if (this.#held === undefined) this.#next.onResponseStart(controller, status, headers);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#held === undefined) this.#next.onResponseData(controller, chunk);
    else if (!this.#held.take(chunk)) this.#release(controller, this.#held);
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    const denial = this.#held?.denial();
    if (denial !== undefined) return this.#next.onOwnAccountDenied(denial);
    if (this.#held !== undefined) this.#release(controller, this.#held);
    this.#next.onResponseEnd(controller, trailers);
  }

  onResponseError(controller: Controller, error: Error): void {
    this.#next.onResponseError(controller, error);
  }

  #release(controller: Controller, held: HeldForbidden): void {
    this.#held = undefined;
    this.#next.onResponseStart(controller, 403, {});
    for (const chunk of held.chunks) this.#next.onResponseData(controller, chunk);
  }
}

/** How the message of a Status is read, by the media types that an API server sends. */
const MESSAGE_OF: ReadonlyMap<string, (body: Buffer) => string> = new Map([
  ['application/json', (body) => textMessage(body, JSON.parse)],
  [
    'application/yaml',
    (body) => textMessage(body, (text) => parseYaml(text, { maxAliasCount: 0, logLevel: 'silent' })),
  ],
  ['application/vnd.kubernetes.protobuf', protobufMessage],
]);

function textMessage(body: Buffer, parse: (text: string) => unknown): string {
  try {
    const status = parse(body.toString('utf8'));
    if (!isMembers(status) || status['kind'] !== 'Status') return '';
    return typeof status['message'] === 'string' ? status['message'] : '';
  } catch {
    return '';
  }
}

/** `k8s\0`, then a `runtime.Unknown` whose second field is the object; the third field of a Status is its message. */
function protobufMessage(body: Buffer): string {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0') return '';
  const status = lengthDelimited(body.subarray(4), 2);
  return (status === undefined ? undefined : lengthDelimited(status, 3))?.toString('utf8') ?? '';
}

/** The first length-delimited field of that number. @see https://protobuf.dev/programming-guides/encoding/ */
function lengthDelimited(bytes: Buffer, wanted: number): Buffer | undefined {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; at < bytes.length; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const tag = varint();
    const size = varint();
    // Neither of the two messages has fields of a fixed width before the one that is wanted.
    if (tag % 8 !== 0 && tag % 8 !== 2) return undefined;
    if (tag % 8 === 0) continue;
    if (!(at + size <= bytes.length)) return undefined;
    if (tag === wanted * 8 + 2) return bytes.subarray(at, at + size);
    at += size;
  }
  return undefined;
}
