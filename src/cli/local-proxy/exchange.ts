/**
 * One request to the server and its response: sent with the user's credential, once more where that was rejected,
 * and ended when either side closes.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError } from '../../core/errors.ts';
import { errorMessage } from '../errors.ts';
import { unreachable } from '../http/network-error.ts';
import { plainText } from '../terminal/plain-text.ts';
import { codeOf } from '../session/private-files.ts';
import type { CredentialKeeper, HeldCredential } from './credential-keeper.ts';
import { bodyOf, towardsServer } from './headers.ts';
import { localResponse, type LocalResponse } from './status.ts';
import { defined } from '../../core/defined.ts';

/** The response, or a connection that was upgraded to another protocol. */
export interface UpstreamResponse {
  readonly response: IncomingMessage;
  readonly upgraded?: { readonly socket: Duplex; readonly head: Buffer };
}

/**
 * Repeated where the connection turns out to have been closed: these methods change nothing at the server (RFC 9110
 * §9.2.2).
 */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Milliseconds for which a response is still read after its client closed. */
const LINGER_MS = 250;

export class Exchange {
  readonly #req: IncomingMessage;
  readonly #keeper: CredentialKeeper;
  readonly #upgrade: string | undefined;
  #request: ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  #clientClosed = false;
  #abandoned = false;

  /**
   * @param req a request that was accepted
   * @param upgrade the protocol that is requested
   */
  constructor(req: IncomingMessage, keeper: CredentialKeeper, upgrade?: string) {
    this.#req = req;
    this.#keeper = keeper;
    this.#upgrade = upgrade;
  }

  get isClientClosed(): boolean {
    return this.#clientClosed;
  }

  /** The rest of a response was no longer wanted: its end is not a cut by the server. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /**
   * The client has closed, or has everything that it requested. Called for every sign of it. A response that had
   * begun is read for a moment more: the client may have left because of a termination notice, after which the
   * server cuts.
   */
  clientClosed(): void {
    this.#clientClosed = true;
    if (this.#response?.complete === true) return;
    if (this.#response === undefined) this.abandon();
    else setTimeout(() => this.abandon(), LINGER_MS).unref();
  }

  /** Ends the request at the server. Does nothing for a finished request; its connection already belongs to another. */
  abandon(): void {
    this.#clientClosed = true;
    this.#abandoned = true;
    this.#request?.destroy();
  }

  /** @throws AppError, or the error of the connection */
  async sendRequest(): Promise<UpstreamResponse> {
    const held = await this.#keeper.current();
    const first = await this.#once(held);
    if (first.response.statusCode !== 401 || this.#clientClosed) return first;
    const other = await this.#keeper.rejected(held);
    // A body has been sent on as it came, and is stored nowhere.
    if (other === undefined || this.#clientClosed || bodyOf(this.#req.rawHeaders) !== 'none') return first;
    this.#response = undefined;
    first.response.destroy();
    return this.#once(other);
  }

  async #once(held: HeldCredential): Promise<UpstreamResponse> {
    try {
      return await this.#send(held);
    } catch (error) {
      // The server has closed a connection that this program was about to reuse.
      const stale = this.#request?.reusedSocket === true && codeOf(error) === 'ECONNRESET';
      const { method = '' } = this.#req;
      if (!stale || !SAFE.has(method) || bodyOf(this.#req.rawHeaders) !== 'none' || this.#clientClosed) {
        throw this.#describeError(error, held);
      }
      return this.#send(held).catch((cause: unknown) => {
        throw this.#describeError(cause, held);
      });
    }
  }

  #send({ token, pool }: HeldCredential): Promise<UpstreamResponse> {
    const { method = 'GET', url: target = '/', rawHeaders } = this.#req;
    const body = bodyOf(rawHeaders);
    const upgrade = defined({ upgrade: this.#upgrade });
    const headers = towardsServer(rawHeaders, { method, host: pool.url.host, token: token.token, body, ...upgrade });
    return new Promise((resolve, reject) => {
      if (this.#clientClosed) return reject(new Error('the client has gone'));
      const sent = pool.request({ method, target, headers, fresh: this.#upgrade !== undefined });
      this.#request = sent;
      sent.on('response', (response) => {
        this.#response = response;
        resolve({ response });
      });
      sent.on('upgrade', (response, socket, head) => resolve({ response, upgraded: { socket, head } }));
      // After the response, its own events report the error, and end both sides.
      sent.on('error', reject);
      sent.on('close', () => reject(new Error('closed without a response')));
      if (body === 'none') sent.end();
      else this.#req.pipe(sent);
    });
  }

  #describeError(error: unknown, { pool }: HeldCredential): unknown {
    // A request that cannot be written is the client's error.
    if (error instanceof AppError || error instanceof TypeError || this.#clientClosed) return error;
    // In this way a revocation also ends requests that wait for their response.
    if (codeOf(error) === 'ECONNRESET') this.#keeper.verify();
    const { network, proxy, pinned } = pool;
    return unreachable(pool.url, error, { network, proxy, pinned, signedIn: true });
  }
}

/** Returns the response to a client where the server could not be reached. */
export function failureResponse(error: unknown): LocalResponse {
  if (!(error instanceof AppError)) return localResponse('BadRequest', 'the request cannot be forwarded');
  const message = plainText(errorMessage(error), 2000);
  if (error.code === 'unauthenticated') return localResponse('Unauthorized', message);
  if (error.code === 'forbidden') return localResponse('Forbidden', message);
  return localResponse(error.reason === 'server_unreachable' ? 'BadGateway' : 'ServiceUnavailable', message);
}
