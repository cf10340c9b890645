/** A request as its listener counts it: whose it is, and on which connection to a console it goes on. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

export interface OpenRequest {
  /**
   * Notes whose it is: what its connection holds counts for this account.
   * @returns false if the account has no space for it: then nothing may be opened for it
   */
  admit(account: string): boolean;
  /** Notes whose it is also where the account has no space: an admin's page is a revocation perhaps. */
  assign(account: string): void;
  /**
   * Counts a connection to a console, until that has closed, with the one of the request.
   * @param socket of the connection, connected or not
   * @param reset resets both
   * @returns to be called with the bytes of each piece that was read from it
   */
  join(socket: Socket, reset: () => void): (bytes: number) => void;
}

const requests = new WeakMap<IncomingMessage, OpenRequest>();

/** Undefined where its listener does not count it so: at the api listener the proxy does. */
export const openRequest = (req: IncomingMessage): OpenRequest | undefined => requests.get(req);

export const countOpenRequest = (req: IncomingMessage, open: OpenRequest): void => void requests.set(req, open);
