/** The open responses on each connection of the web listener. */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export class OpenResponses {
  readonly #open = new WeakMap<Duplex, Map<() => void, ServerResponse>>();

  /**
   * True where earlier requests on the connection have no complete response yet. A response that is written, but
   * whose last bytes Node has not reported yet, does not count, because the browser may have read it already.
   */
  isBusy(socket: Duplex): boolean {
    const open = [...(this.#open.get(socket)?.values() ?? [])];
    return open.length > 1 || open.some(({ writableEnded }) => !writableEnded);
  }

  /**
   * Counts a response as open until it closes or its connection ends, whichever is known first. An attacker
   * pipelines requests and then asks for an upgrade: from there on Node does not tell the queued responses that
   * the connection has closed, and each would stay in memory permanently.
   *
   * @param onClose called once
   */
  opened(socket: Duplex, response: ServerResponse, onClose: () => void = () => undefined): void {
    const open = this.#open.get(socket) ?? this.#follow(socket);
    const close = (): void => {
      if (open.delete(close)) onClose();
    };
    open.set(close, response);
    response.once('close', close);
  }

  #follow(socket: Duplex): Map<() => void, ServerResponse> {
    const open = new Map<() => void, ServerResponse>();
    this.#open.set(socket, open);
    socket.once('close', () => {
      for (const close of open.keys()) close();
    });
    return open;
  }
}
