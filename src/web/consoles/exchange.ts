/**
 * One request at a console: the `Flight` for the revocation guard. From the tick in which it arrived until both
 * sides are closed, a revocation, a fence or the end of the session resets both of them, WebSockets and event
 * streams included.
 */
import type { CutReason, Flight, Registration } from '../../revocation/revocation.ts';
import type { ConsoleParts, ConsoleToken } from './dependencies.ts';

export class ConsoleExchange implements Flight {
  /** To be called with the bytes of each piece that comes from the console. */
  took: (bytes: number) => void = () => undefined;
  readonly #guard: ConsoleParts['guard'];
  readonly #resetClient: () => void;
  readonly #registration: Registration;
  #token: ConsoleToken | undefined;
  #resetConsole: (() => void) | undefined;
  #releaseSlot: (() => void) | undefined;
  #cut = false;
  #ended = false;

  /** Registers immediately, before anything is awaited. */
  constructor(guard: ConsoleParts['guard'], resetClient: () => void) {
    this.#guard = guard;
    this.#resetClient = resetClient;
    this.#registration = guard.register(this);
  }

  /** Binds the request to the credential and the session of its user. */
  bind(token: ConsoleToken): void {
    this.#token = token;
    this.#registration.bind(token.credential, token.session);
  }

  /** Holds a slot of its user until its end. */
  hold(releaseSlot: () => void): void {
    if (this.#ended) releaseSlot();
    else this.#releaseSlot = releaseSlot;
  }

  /** True once it was cut, so that there is no response to send. */
  get isCut(): boolean {
    return this.#cut;
  }

  /**
   * Checks whether a byte may pass now. It is called in the tick that forwards it; where the credential is revoked
   * meanwhile, everything is cut here.
   */
  mayPass(): boolean {
    if (this.#cut || this.#token === undefined) return false;
    const rejection = this.#guard.check(this.#token.credential);
    if (rejection !== undefined) this.cut(rejection);
    return rejection === undefined;
  }

  /** Sets the function that resets the console's side; undefined once that side has ended. */
  attach(resetConsole: (() => void) | undefined): void {
    this.#resetConsole = resetConsole;
    if (this.#ended) attempt(resetConsole);
  }

  cut(_reason: CutReason): void {
    if (this.#cut) return;
    this.#cut = true;
    this.reset();
  }

  /** Resets both sides immediately, because half a response must not look complete. */
  reset(): void {
    attempt(this.#resetClient);
    attempt(this.#resetConsole);
  }

  /** Called when the browser's side has closed: nothing can be delivered any more, so the console's side is reset. */
  end(): void {
    this.#ended = true;
    attempt(this.#resetConsole);
    this.#registration.close();
    this.#releaseSlot?.();
  }
}

function attempt(reset: (() => void) | undefined): void {
  try {
    reset?.();
  } catch {
    // A socket that is already gone has nothing left to reset.
  }
}
