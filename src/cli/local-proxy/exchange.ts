/**
 * One request on its way to the gate and back: with the user's credential, once more where that was refused, and ended when either side
 * has gone.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { AppError } from '../../core/errors.ts';
import { faultWords } from '../errors.ts';
import { unreachable } from '../http/network-error.ts';
import { plainText } from '../terminal/plain-text.ts';
import { codeOf } from '../session/private-files.ts';
import type { CredentialKeeper, Held } from './credential-keeper.ts';
import { bodyOf, towardsServer } from './headers.ts';
import { localAnswer, type LocalAnswer } from './status.ts';

/** What came back: an answer, or a connection that speaks another protocol from here on. */
export interface UpstreamResponse {
  readonly answer: IncomingMessage;
  readonly upgraded?: { readonly socket: Duplex; readonly head: Buffer };
}

/** Repeated where the connection turns out to have been closed: it changes nothing at the other end (RFC 9110 §9.2.2). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Milliseconds for which an answer is read whose client has gone. */
const LINGER_MS = 250;

export class Exchange {
  readonly #req: IncomingMessage;
  readonly #keeper: CredentialKeeper;
  readonly #upgrade: string | undefined;
  #asked: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;
  #clientGone = false;
  #givenUp = false;

  /**
   * @param req that was let through
   * @param upgrade the protocol that is asked for
   */
  constructor(req: IncomingMessage, keeper: CredentialKeeper, upgrade?: string) {
    this.#req = req;
    this.#keeper = keeper;
    this.#upgrade = upgrade;
  }

  get clientGone(): boolean {
    return this.#clientGone;
  }

  /** The rest of an answer was not wanted any more: its end is none of the gate's doing. */
  get givenUp(): boolean {
    return this.#givenUp;
  }

  /**
   * The client has gone, or has all that it asked for. To be called for every sign of it. An answer that had begun is read for a moment
   * more: the client may have left by a last word, behind which the gate's own cut comes.
   */
  clientClosed(): void {
    this.#clientGone = true;
    if (this.#answer?.complete === true) return;
    if (this.#answer === undefined) this.giveUp();
    else setTimeout(() => this.giveUp(), LINGER_MS).unref();
  }

  /** Ends it at the gate. Of a request that is over this does nothing; its connection is another's by now. */
  giveUp(): void {
    this.#clientGone = true;
    this.#givenUp = true;
    this.#asked?.destroy();
  }

  /** @throws AppError, or what the connection failed with */
  async ask(): Promise<UpstreamResponse> {
    const held = await this.#keeper.current();
    const first = await this.#once(held);
    if (first.answer.statusCode !== 401 || this.#clientGone) return first;
    const other = await this.#keeper.refused(held);
    // A body has been sent on as it came, and is kept nowhere.
    if (other === undefined || this.#clientGone || bodyOf(this.#req.rawHeaders) !== 'none') return first;
    this.#answer = undefined;
    first.answer.destroy();
    return this.#once(other);
  }

  async #once(held: Held): Promise<UpstreamResponse> {
    try {
      return await this.#send(held);
    } catch (error) {
      // The gate has closed a connection that this program was about to use again.
      const stale = this.#asked?.reusedSocket === true && codeOf(error) === 'ECONNRESET';
      const { method = '' } = this.#req;
      if (!stale || !SAFE.has(method) || bodyOf(this.#req.rawHeaders) !== 'none' || this.#clientGone) {
        throw this.#worded(error, held);
      }
      return this.#send(held).catch((cause: unknown) => {
        throw this.#worded(cause, held);
      });
    }
  }

  #send({ token, pool }: Held): Promise<UpstreamResponse> {
    const { method = 'GET', url: target = '/', rawHeaders } = this.#req;
    const body = bodyOf(rawHeaders);
    const upgrade = this.#upgrade === undefined ? {} : { upgrade: this.#upgrade };
    const headers = towardsServer(rawHeaders, { method, host: pool.url.host, token: token.token, body, ...upgrade });
    return new Promise((resolve, reject) => {
      if (this.#clientGone) return reject(new Error('the client has gone'));
      const asked = pool.request({ method, target, headers, fresh: this.#upgrade !== undefined });
      this.#asked = asked;
      asked.on('response', (answer) => {
        this.#answer = answer;
        resolve({ answer });
      });
      asked.on('upgrade', (answer, socket, head) => resolve({ answer, upgraded: { socket, head } }));
      // After the answer its own events tell of it, and both sides are ended by them.
      asked.on('error', reject);
      asked.on('close', () => reject(new Error('closed without an answer')));
      if (body === 'none') asked.end();
      else this.#req.pipe(asked);
    });
  }

  #worded(error: unknown, { pool }: Held): unknown {
    // What cannot be written as a request is the client's mistake.
    if (error instanceof AppError || error instanceof TypeError || this.#clientGone) return error;
    // So a revocation ends what waits for its answer.
    if (codeOf(error) === 'ECONNRESET') this.#keeper.verify();
    const { network, proxy, pinned } = pool;
    return unreachable(pool.url, error, { network, proxy, pinned, signedIn: true });
  }
}

/** What a client is told where the gate could not be asked. */
export function failureAnswer(error: unknown): LocalAnswer {
  if (!(error instanceof AppError)) return localAnswer('BadRequest', 'the request cannot be sent on');
  const words = plainText(faultWords(error), 2000);
  if (error.code === 'unauthenticated') return localAnswer('Unauthorized', words);
  if (error.code === 'forbidden') return localAnswer('Forbidden', words);
  return localAnswer(error.reason === 'server_unreachable' ? 'BadGateway' : 'ServiceUnavailable', words);
}
