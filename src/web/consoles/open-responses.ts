/** The open responses on each connection of the web listener. */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { whenOver } from '../../core/http/response-over.ts';

export class OpenResponses {
  readonly #open = new WeakMap<Duplex, Set<ServerResponse>>();

  /**
   * True where earlier requests on the connection have no complete response yet. A response that is written, but
   * whose last bytes Node has not reported yet, does not count, because the browser may have read it already.
   */
  isBusy(socket: Duplex): boolean {
    const open = [...(this.#open.get(socket) ?? [])];
    return open.length > 1 || open.some(({ writableEnded }) => !writableEnded);
  }

  /**
   * Counts a response as open until it closes or its connection ends, whichever is known first.
   * @param onClose called once
   */
  opened(socket: Duplex, response: ServerResponse, onClose: () => void = () => undefined): void {
    const open = this.#open.get(socket) ?? new Set();
    this.#open.set(socket, open);
    open.add(response);
    whenOver(response, () => {
      open.delete(response);
      onClose();
    });
  }
}
