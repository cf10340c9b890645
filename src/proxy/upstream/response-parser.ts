/**
 * Parses HTTP/1.1 responses with llhttp, the parser of Node and of undici, in the WebAssembly build that undici
 * ships. It is strict by default: a second `Content-Length`, one beside `Transfer-Encoding`, a bare LF, a folded
 * line and a malformed chunk size are errors (decision 0034).
 *
 * What is reported is collected here and passed on after llhttp has returned, so that nothing that a caller does
 * runs within it.
 */
import { createRequire } from 'node:module';

/** Its constants: `undici/lib/llhttp/constants.d.ts`. */
const RESPONSE = 2;
const OK = 0;
const PAUSED = 21;
const USER_ERROR = 24;
const LETTER_H = 0x48;

interface Llhttp {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize(): void;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  malloc(bytes: number): number;
  llhttp_execute(parser: number, data: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_resume(parser: number): void;
  llhttp_get_error_pos(parser: number): number;
  llhttp_get_error_reason(parser: number): number;
}

/** Node has it; its types come with those of browsers alone. */
declare const WebAssembly: {
  readonly Module: new (binary: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: Record<string, object>) => { readonly exports: object };
};

/** Bytes. The largest piece that is parsed at once. */
export const MAX_PIECE = 65_536;
/**
 * Smaller pieces of a body that one piece of the connection has are joined into one.
 *
 * An attacker's pod sends chunks of one byte, 10,900 in 64 kB: to hand each of them on took five times as long as to
 * parse them.
 */
const JOINED_BYTES = 8_192;
/** Names and values of one response, those of its trailers included. As Node and undici limit them by default. */
const MAX_HEAD_BYTES = 16_384;

/**
 * Of one response, its trailers included. An attacker's pod sends 7,000 lines of `a: b` in 42 kB, which took 4 ms: on seven
 * hundred connections at the same moment a turn took as long as a lease.
 */
const MAX_HEAD_LINES = 256;

/** Whose bytes llhttp reads now. */
let current: ResponseParser | undefined;
const reportTo = (parser: ResponseParser | undefined): void => void (current = parser);

const llhttp = load();
const input = llhttp.malloc(MAX_PIECE);
let memory = new Uint8Array(llhttp.memory.buffer);

function load(): Llhttp {
  const binary = createRequire(import.meta.url)('undici/lib/llhttp/llhttp_simd-wasm.js') as Uint8Array<ArrayBuffer>;
  const at = (pointer: number): number => pointer - input;
  const env = {
    wasm_on_url: () => OK,
    wasm_on_status: () => OK,
    wasm_on_message_begin: () => OK,
    wasm_on_header_field: (_: number, from: number, length: number) => current?.onField(at(from), length),
    wasm_on_header_value: (_: number, from: number, length: number) => current?.onValue(at(from), length),
    wasm_on_headers_complete: (_: number, status: number, upgrade: number, keepAlive: number) =>
      current?.onHead(status, { keepsAlive: keepAlive === 1, namesUpgrade: upgrade === 1 }),
    wasm_on_body: (_: number, from: number, length: number) => current?.onBody(at(from), length),
    wasm_on_message_complete: () => current?.onComplete(),
  };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary), { env });
  const parser = exports as unknown as Llhttp;
  parser._initialize();
  return parser;
}

export interface ResponseHead {
  readonly status: number;
  /** Name, value, … one character a byte. */
  readonly raw: readonly string[];
  /** It names another protocol, in `Upgrade` and in `Connection` (RFC 9110 §7.8). */
  readonly namesUpgrade: boolean;
}

/** What one call of `parse` has found, in order: the head, pieces of the body, the end. Valid until `forget`. */
export interface Parsed {
  /** The head is complete as of this piece. */
  readonly head: ResponseHead | undefined;
  /** Offsets in the piece: from, to, from, to, … Few: what came in small chunks was moved together in it. */
  readonly body: readonly number[];
  /** That the body came in. */
  readonly chunks: number;
  /** The response is whole. */
  readonly isComplete: boolean;
  /** Where what belongs to the response ends. Less than the piece's end only if `isComplete`. */
  readonly end: number;
  /** Why it is no response, as llhttp puts it. */
  readonly error: string | undefined;
}

/** The responses of one connection, one after another. `free` has to be called in the end. */
export class ResponseParser implements Parsed {
  readonly #parser = llhttp.llhttp_alloc(RESPONSE);
  #isFreed = false;
  #hasNoBody = false;
  #piece: Buffer = Buffer.alloc(0);
  #offset = 0;
  #headers: string[] = [];
  #inValue = true;
  #headBytes = 0;
  #headLines = 0;
  #isPaused = false;
  #isAtStart = true;
  /** The connection may carry another request after this response. */
  keepsAlive = false;
  head: ResponseHead | undefined;
  readonly body: number[] = [];
  /** The last offset in it; 0: there is none. */
  #bodyEnd = 0;
  chunks = 0;
  isComplete = false;
  end = 0;
  error: string | undefined;

  /** Before each request. @param method a response to HEAD has no body, whatever its head says */
  expect(method: string): void {
    this.#hasNoBody = method === 'HEAD';
    this.#startHead();
  }

  /**
   * Parses up to the end of one response. Interim responses (1xx) are responses of their own here.
   * @param piece at most MAX_PIECE bytes from `from` on; nothing of it is kept. What is between the payloads of small
   *   chunks is overwritten
   */
  parse(piece: Buffer, from: number): Parsed {
    const length = piece.length - from;
    this.#piece = piece;
    this.#offset = from;
    this.forget();
    this.isComplete = false;
    this.end = piece.length;
    // llhttp takes RTSP and ICE as well, and skips empty lines before a response.
    if (this.#isAtStart && piece[from] !== LETTER_H) {
      this.error = 'not HTTP';
      return this;
    }
    this.#isAtStart = false;
    if (this.#isPaused) {
      this.#isPaused = false;
      llhttp.llhttp_resume(this.#parser);
    }
    if (memory.buffer !== llhttp.memory.buffer) memory = new Uint8Array(llhttp.memory.buffer);
    memory.set(from === 0 ? piece : piece.subarray(from), input);
    reportTo(this);
    const result = llhttp.llhttp_execute(this.#parser, input, length);
    reportTo(undefined);
    if (result === PAUSED) {
      this.#isPaused = true;
      this.end = from + (llhttp.llhttp_get_error_pos(this.#parser) - input);
    } else if (result !== OK) this.error = this.#reason();
    return this;
  }

  /** To be called once what was found is handed on: a watch may be silent for hours, and would keep its head. */
  forget(): void {
    this.head = undefined;
    this.chunks = 0;
    this.#bodyEnd = 0;
    if (this.body.length > 0) this.body.length = 0;
  }

  /** The connection has ended. @returns true if that is the end of the response */
  finish(): boolean {
    if (this.#isPaused) return false;
    this.isComplete = false;
    reportTo(this);
    const result = llhttp.llhttp_finish(this.#parser);
    reportTo(undefined);
    return (result === OK || result === PAUSED) && this.isComplete;
  }

  free(): void {
    if (this.#isFreed) return;
    this.#isFreed = true;
    llhttp.llhttp_free(this.#parser);
  }

  onField(from: number, length: number): number {
    const text = this.#text(from, length);
    // A name may come in two parts, where a piece ends.
    if (this.#inValue) {
      this.#headers.push(text);
      this.#headLines += 1;
    } else this.#headers.push((this.#headers.pop() ?? '') + text);
    this.#inValue = false;
    return this.#count(length);
  }

  onValue(from: number, length: number): number {
    const text = this.#text(from, length);
    if (this.#inValue) this.#headers.push((this.#headers.pop() ?? '') + text);
    else this.#headers.push(text);
    this.#inValue = true;
    return this.#count(length);
  }

  /** @returns 1: no body follows */
  onHead(
    status: number,
    { keepsAlive, namesUpgrade }: { readonly keepsAlive: boolean; readonly namesUpgrade: boolean },
  ): number {
    this.keepsAlive = keepsAlive && !namesUpgrade;
    this.head = { status, raw: this.#headers, namesUpgrade };
    // What comes after the body are trailers, which are dropped.
    this.#headers = [];
    return this.#hasNoBody || status < 200 || status === 204 || status === 304 ? 1 : OK;
  }

  /** llhttp reads a copy of the piece, and has passed whatever is overwritten here. */
  onBody(offset: number, length: number): number {
    const from = this.#offset + offset;
    this.chunks += 1;
    const to = this.#bodyEnd;
    if (to === 0 || length >= JOINED_BYTES) {
      this.body.push(from, from + length);
      this.#bodyEnd = from + length;
      return OK;
    }
    this.#bodyEnd = to + length;
    this.body[this.body.length - 1] = to + length;
    // A call of `copyWithin` for each byte would cost more than to parse it.
    if (length === 1) this.#piece[to] = this.#piece[from] ?? 0;
    else this.#piece.copyWithin(to, from, from + length);
    return OK;
  }

  onComplete(): number {
    this.isComplete = true;
    this.#startHead();
    return PAUSED;
  }

  /** A server that is not in its right mind sends headers, or trailers, without end. */
  #count(length: number): number {
    this.#headBytes += length;
    return this.#isHeadTooLong ? USER_ERROR : OK;
  }

  get #isHeadTooLong(): boolean {
    return this.#headBytes > MAX_HEAD_BYTES || this.#headLines > MAX_HEAD_LINES;
  }

  #startHead(): void {
    this.#headers = [];
    this.#inValue = true;
    this.#headBytes = 0;
    this.#headLines = 0;
    this.#isAtStart = true;
  }

  #text(from: number, length: number): string {
    return this.#piece.toString('latin1', this.#offset + from, this.#offset + from + length);
  }

  #reason(): string {
    if (this.#isHeadTooLong) return 'the headers are too long';
    const from = llhttp.llhttp_get_error_reason(this.#parser);
    const to = memory.indexOf(0, from);
    return Buffer.from(memory.subarray(from, to)).toString('latin1');
  }
}
