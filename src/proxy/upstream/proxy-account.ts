/**
 * Recognises a 403 of the API server that is about the proxy's own account and not about the user.
 *
 * If it were relayed, it would name the proxy's service account to a user whose own rights are sufficient, and
 * client-go would take as final the response of an API server that has just started and does not have its roles
 * yet.
 *
 * The API server checks impersonation before everything else in a request, against the account whose token came:
 * the verb `impersonate` in its own message can mean no other account than ours, whatever its name is. So no name
 * is learnt in advance, which an API server without its roles would not give. Everything that does not read exactly
 * so is relayed.
 */
import type { Duplex } from 'node:stream';
import { hasMoreValues } from '../../core/http/json-values.ts';
import { impersonateOn } from '../../core/http/constrained-impersonation.ts';
import { isConstrainedRead } from '../../core/http/constrained-read.ts';
import { isBelowProxy } from '../../core/request/request-info.ts';
import type { Admitted } from '../admission/admission.ts';
import { isMembers } from '../admission/cluster-reviews.ts';
import { valuesOf } from '../raw-headers.ts';
import { constrainedRejection, proxyAccountRejection, unsupportedRejection } from '../impersonation-rejections.ts';
import type { Rejection } from '../status.ts';
import type { Slab } from './slab.ts';
import type { UpstreamHandler } from './transport.ts';

/** Bytes. The longest names that the proxy sends make a Status of some kilobytes. Anything longer is not one. */
const MAX_STATUS_BYTES = 65_536;

/** Length of the API server's message in the logs. Characters; it quotes names that the client may have chosen. */
const LOGGED_CHARACTERS = 500;

/**
 * `RESOURCE "NAME" is forbidden: User "ACCOUNT" cannot impersonate resource "users" in API group …`, as the API
 * server writes it. Verbs of constrained impersonation (KEP-5284) have a colon: `impersonate:user-info` of the same
 * resources, and `impersonate-on:user-info:list` of what the request is about, also a path.
 */
const DENIAL =
  /^(?:[^\s"]+ (?:"(?:[^"\\]|\\.)*" )?is )?forbidden: User "(?:[^"\\]|\\.)*" cannot (?:(?<verb>impersonate(?::[a-z-]+)?) resource "(?<resource>[a-z]+)[/"]|(?<on>impersonate-on:[a-z:-]+) (?:resource|path) ")/;

export interface ProxyAccountDenial {
  /** The response to the client. */
  readonly rejection: Rejection;
  /** The API server's own message, for the logs alone. Absent: as configured, so that nothing is logged or counted. */
  readonly message?: string;
}

type HeldFor = Pick<Admitted, 'info' | 'target' | 'impersonates' | 'cluster'>;

/** Holds the body of a 403 back until it is known which account it is about. */
class HeldForbidden {
  /** Headers of the response, flat. */
  readonly raw: readonly string[];
  readonly #messageOf: (body: Buffer) => string;
  readonly #admitted: HeldFor;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  private constructor(raw: readonly string[], messageOf: (body: Buffer) => string, admitted: HeldFor) {
    this.raw = raw;
    this.#messageOf = messageOf;
    this.#admitted = admitted;
  }

  /**
   * @param raw the API server's headers, flat
   * @returns undefined for a response that cannot be about our account and is to be relayed piece by piece
   */
  static of(status: number, raw: readonly string[], admitted: HeldFor): HeldForbidden | undefined {
    const { info, target, impersonates } = admitted;
    if (status !== 403 || !impersonates) return undefined;
    // An attacker who responds in the place of a pod or a service writes any text, so a response from behind a
    // proxy subresource is not read.
    if (isBelowProxy(info)) return undefined;
    // Priority and fairness come after impersonation: this request has passed it, and an aggregated API may have
    // responded.
    if (valuesOf(raw, 'x-kubernetes-pf-flowschema-uid').length > 0) return undefined;
    // An attacker asks for a resource whose name reads like the API server's message, so that the operator is
    // alerted. This is the one part of the message that comes from outside and is not quoted, so such a target is
    // not read.
    if (decodeURIComponent(target.split('?', 1)[0] ?? '').includes(' impersonate')) return undefined;
    const [type = ''] = valuesOf(raw, 'content-type');
    const messageOf = MESSAGE_OF.get(type.split(';', 1)[0]?.trim().toLowerCase() ?? '');
    return messageOf === undefined ? undefined : new HeldForbidden(raw, messageOf, admitted);
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** @returns false if it is longer than such a response can be, so that all of it is to be relayed */
  take(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    return this.#length <= MAX_STATUS_BYTES;
  }

  /** Judges the whole body. @returns undefined if it is about the user */
  denial(): ProxyAccountDenial | undefined {
    const message = this.#messageOf(Buffer.concat(this.#chunks));
    const denied = DENIAL.exec(message)?.groups;
    if (denied === undefined) return undefined;
    const { cluster, info } = this.#admitted;
    const { constrained } = cluster.impersonate;
    const { verb, on } = denied;
    const resource = on?.startsWith('impersonate-on:serviceaccount:') === true ? 'serviceaccounts' : denied['resource'];
    const legacy = verb === 'impersonate';
    // A user who tries to write must not alert the operator. What `read` includes is missing from the role, or from an
    // API server that has just started. It names the legacy verb as long as that was the last one to succeed.
    if (constrained === 'read' && (legacy || on !== undefined) && !isConstrainedRead(info)) {
      const mode = resource === 'serviceaccounts' ? 'serviceaccount' : 'user-info';
      return { rejection: constrainedRejection(impersonateOn(mode, info).verb) };
    }
    const rejection = constrained !== 'off' && legacy ? unsupportedRejection() : proxyAccountRejection(resource);
    return { rejection, message: message.slice(0, LOGGED_CHARACTERS) };
  }
}

/** Receives the events of each response, or the denial in its place. */
export interface ProxyAccountHandler extends UpstreamHandler {
  onProxyAccountDenied(denial: ProxyAccountDenial): void;
}

/**
 * Filters the events between the transport and the handler that relays them. The handler learns of a response that is
 * held back when it has been judged.
 */
export class ProxyAccountFilter implements UpstreamHandler {
  readonly #next: ProxyAccountHandler;
  readonly #admitted: Admitted;
  #held: HeldForbidden | undefined;

  constructor(next: ProxyAccountHandler, admitted: Admitted) {
    this.#next = next;
    this.#admitted = admitted;
  }

  maySend(): boolean {
    return this.#next.maySend();
  }

  onHead(status: number, raw: readonly string[]): void {
    this.#held = status === 403 ? HeldForbidden.of(status, raw, this.#admitted) : undefined;
    if (this.#held === undefined) this.#next.onHead(status, raw);
  }

  onUpgrade(raw: readonly string[], socket: Duplex): void {
    this.#next.onUpgrade?.(raw, socket);
  }

  onPiece(piece: Buffer, slab: Slab | undefined): void {
    if (this.#held === undefined) return this.#next.onPiece(piece, slab);
    // Kept beyond this call.
    if (!this.#held.take(slab === undefined ? piece : Buffer.from(piece))) this.#release(this.#held);
  }

  onEnd(): void {
    const denial = this.#held?.denial();
    if (denial !== undefined) return this.#next.onProxyAccountDenied(denial);
    if (this.#held !== undefined) this.#release(this.#held);
    this.#next.onEnd();
  }

  onError(error: Error): void {
    this.#next.onError(error);
  }

  #release(held: HeldForbidden): void {
    this.#held = undefined;
    this.#next.onHead(403, held.raw);
    for (const chunk of held.chunks) this.#next.onPiece(chunk, undefined);
  }
}

/** How the message of a Status is read, by the media types that an API server sends. */
const MESSAGE_OF: ReadonlyMap<string, (body: Buffer) => string> = new Map([
  ['application/json', jsonMessage],
  ['application/yaml', yamlMessage],
  ['application/vnd.kubernetes.protobuf', protobufMessage],
]);

/** A Status has a dozen. An attacker's has ten thousand, and two hundred responses end in one turn. */
const MAX_VALUES = 200;

function jsonMessage(body: Buffer): string {
  if (hasMoreValues(body, MAX_VALUES)) return '';
  try {
    const status: unknown = JSON.parse(body.toString('utf8'));
    if (!isMembers(status) || status['kind'] !== 'Status') return '';
    return typeof status['message'] === 'string' ? status['message'] : '';
  } catch {
    return '';
  }
}

/** Longer than the API server's message. */
const MOST_QUOTED = 4096;

/** Whether the last of its characters is a backslash that no other one escapes. */
function endsEscaped(text: string): boolean {
  let count = 0;
  while (text.at(-1 - count) === '\\') count += 1;
  return count % 2 === 1;
}

/**
 * Lines of a scalar in quotes as one: a line end is a space, each empty line is a line end, and one behind a backslash is
 * nothing (YAML 1.2 §6.5, §7.3.1). Without a regular expression, which would look for the end of each run of spaces again and
 * again.
 */
function folded(text: string, areEscaped: boolean): string {
  const [first = '', ...rest] = text.split('\n');
  if (rest.length === 0) return text;
  let whole = first.trimEnd();
  let empty = 0;
  for (const line of rest) {
    const part = line.trim();
    if (part === '') empty += 1;
    else if (areEscaped && endsEscaped(whole)) whole = whole.slice(0, -1) + part;
    else whole += ('\n'.repeat(empty) || ' ') + part;
    if (part !== '') empty = 0;
  }
  return whole;
}

/** YAML 1.2 §5.7, but for `\U`, which no name needs. */
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([^]))/g;
const ESCAPED: Readonly<Record<string, string>> = {
  '0': '\0',
  a: '\u0007',
  b: '\b',
  t: '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  e: '\u001b',
  N: '\u0085',
  _: '\u00a0',
  L: '\u2028',
  P: '\u2029',
  ' ': ' ',
  '"': '"',
  '/': '/',
  '\\': '\\',
};

/** @returns '' where it is not one scalar in quotes */
function unquoted(text: string): string {
  if (/^'(?:[^']|'')*'$/.test(text)) return folded(text.slice(1, -1), false).replaceAll("''", "'");
  if (!/^"(?:[^"\\]|\\[^])*"$/.test(text)) return '';
  let isOne = true;
  const plain = folded(text.slice(1, -1), true).replaceAll(ESCAPE, (_all, byte?: string, unit?: string, one = '') => {
    const code = byte ?? unit;
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    isOne &&= Object.hasOwn(ESCAPED, one);
    return ESCAPED[one] ?? '';
  });
  return isOne ? plain : '';
}

/**
 * Of YAML nothing is read but the one scalar, and that without a parser. An attacker answers in the place of an aggregated
 * API with 700 bytes of `? `, for which one takes six seconds, or with 4 kB of escapes that are none: 20 ms, and two
 * hundred such answers come in one turn.
 */
function yamlMessage(body: Buffer): string {
  const lines = body.toString('utf8').split('\n');
  const from = lines.findIndex((line) => line.startsWith('message: '));
  if (from === -1 || !lines.includes('kind: Status')) return '';
  const rest = lines.slice(from + 1);
  const to = rest.findIndex((line) => line !== '' && !line.startsWith(' '));
  const scalar = [lines[from]?.slice('message: '.length) ?? '', ...rest.slice(0, to === -1 ? rest.length : to)];
  const text = scalar.join('\n').trim();
  if (/^\w/.test(text)) return scalar.map((line) => line.trim()).join(' ');
  return text.length > MOST_QUOTED ? '' : unquoted(text);
}

/** `k8s\0`, then a `runtime.Unknown` whose second field is the object; the third field of a Status is its message. */
function protobufMessage(body: Buffer): string {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0') return '';
  const status = lengthDelimited(body.subarray(4), 2);
  return (status === undefined ? undefined : lengthDelimited(status, 3))?.toString('utf8') ?? '';
}

/**
 * Returns the first length-delimited field with that number. @see https://protobuf.dev/programming-guides/encoding/
 */
function lengthDelimited(bytes: Buffer, fieldNumber: number): Buffer | undefined {
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
    // Neither of the two messages has fields of a fixed width before the wanted one.
    if (tag % 8 !== 0 && tag % 8 !== 2) return undefined;
    if (tag % 8 === 0) continue;
    if (!(at + size <= bytes.length)) return undefined;
    if (tag === fieldNumber * 8 + 2) return bytes.subarray(at, at + size);
    at += size;
  }
  return undefined;
}
