/**
 * The concurrency limits of requests and WebSockets at the consoles: for one account, and for all of them together.
 *
 * A user opens WebSockets until there is no web connection left: no colleague can sign in, and no admin revoke. A
 * request counts from the tick in which its user is known until the browser's side has closed, as one to a cluster does
 * (`proxy/admission/concurrency-limit.ts`), and by account and not by session.
 */
import { ConcurrencyLimit } from '../../core/concurrency-limit.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, type Result } from '../../core/result.ts';

/** Of `limits.connections` at the web listener: the others are for the pages. */
const SHARE_OF_CONSOLES = 1 / 2;
/** Of those: with few connections `limits.inFlightPerUser` may be more than there are. */
const SHARE_OF_AN_ACCOUNT = 1 / 2;
/** Some accounts with all that each may have leave every other one its first requests: a page and its WebSockets. */
const FIRST_OF_AN_ACCOUNT = 8;
const SHARE_BEYOND_THE_FIRST = 3 / 4;

const ALL = 'consoles';

type Level = 'account' | 'consoles' | 'beyond';

export class ConsoleLimit {
  readonly #limit: ConcurrencyLimit<Level>;

  constructor(limits: { readonly connections: number; readonly inFlightPerUser: number }) {
    const share = (of: number, part: number): number => Math.max(1, Math.floor(of * part));
    const consoles = share(limits.connections, SHARE_OF_CONSOLES);
    this.#limit = new ConcurrencyLimit({
      account: Math.min(limits.inFlightPerUser, share(consoles, SHARE_OF_AN_ACCOUNT)),
      consoles,
      beyond: share(consoles, SHARE_BEYOND_THE_FIRST),
    });
  }

  /** @returns a function that releases the slot, or why there is none, for the user */
  acquire(account: Account): Result<() => void, string> {
    const isFirst = this.#limit.openOf('account', account) < FIRST_OF_AN_ACCOUNT;
    const slot = this.#limit.acquire({ account, consoles: ALL, beyond: isFirst ? undefined : ALL });
    return slot.ok ? slot : no(this.#message(slot.reason));
  }

  #message(level: Level): string {
    const open = 'requests and WebSockets open at the consoles, which is the limit';
    return level === 'account'
      ? `You have ${this.#limit.most.account} ${open} for one user. Close some pages and try again.`
      : `All users together have ${this.#limit.most[level]} ${open}. Try again.`;
  }
}
