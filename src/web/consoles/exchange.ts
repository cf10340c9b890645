/**
 * One request at a console on its way through: the gate's `Flight`. From the tick in which it came until both sides are closed a
 * revocation, a fence or the session's end resets both of them, WebSockets and event streams included.
 */
import type { CutReason, Flight, Registration } from '../../revocation/revocation.ts';
import type { ConsoleParts, ConsoleToken } from './dependencies.ts';

export class ConsoleExchange implements Flight {
  readonly #guard: ConsoleParts['guard'];
  readonly #resetClient: () => void;
  readonly #registration: Registration;
  #token: ConsoleToken | undefined;
  #resetConsole: (() => void) | undefined;
  #cut = false;
  #ended = false;

  /** Registers at once, before anything is awaited. */
  constructor(guard: ConsoleParts['guard'], resetClient: () => void) {
    this.#guard = guard;
    this.#resetClient = resetClient;
    this.#registration = guard.register(this);
  }

  /** Says whose it is. */
  bind(token: ConsoleToken): void {
    this.#token = token;
    this.#registration.bind(token.credential, token.session);
  }

  /** True once nobody is there to be answered. */
  get isCut(): boolean {
    return this.#cut;
  }

  /** May a byte pass now? Asked in the tick that hands it on; where the gate is shut meanwhile, everything is cut here. */
  mayPass(): boolean {
    if (this.#cut || this.#token === undefined) return false;
    const rejection = this.#guard.check(this.#token.credential);
    if (rejection !== undefined) this.cut(rejection);
    return rejection === undefined;
  }

  /** The console's side, while there is one. */
  attach(resetConsole: (() => void) | undefined): void {
    this.#resetConsole = resetConsole;
    if (this.#ended) attempt(resetConsole);
  }

  cut(_reason: CutReason): void {
    if (this.#cut) return;
    this.#cut = true;
    this.reset();
  }

  /** Both sides, at once. Half an answer must not look like a whole one. */
  reset(): void {
    attempt(this.#resetClient);
    attempt(this.#resetConsole);
  }

  /** The browser's side has closed: what the console still has to say is said to nobody. */
  end(): void {
    this.#ended = true;
    attempt(this.#resetConsole);
    this.#registration.close();
  }
}

function attempt(reset: (() => void) | undefined): void {
  try {
    reset?.();
  } catch {
    // A socket that is already gone has nothing left to reset.
  }
}
