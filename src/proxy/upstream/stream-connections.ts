/**
 * Connections towards one API server for what lasts: watches, logs, port-forwards of HTTP. As many as there are such requests.
 *
 * undici's own pool looks through its clients one by one, busy ones too, for each request, and keeps the client of every connection that
 * it ever had: thousands of watches would make each further one wait, and eight kilobytes of each would stay for good. Here a free
 * client is found at once, and one whose connection has closed is forgotten.
 */
import type { Client, Dispatcher } from 'undici';

export class LastingConnections {
  readonly #connect: () => Client;
  readonly #all = new Set<Client>();
  /** Without a request; connected, because what has lost its connection leaves. */
  readonly #free = new Set<Client>();

  /** @param connect makes a client of one connection that carries one request at a time */
  constructor(connect: () => Client) {
    this.#connect = connect;
  }

  /** Clients that still hold or await a connection. */
  get size(): number {
    return this.#all.size;
  }

  get free(): number {
    return this.#free.size;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const [free] = this.#free;
    const client = free ?? this.#add();
    this.#free.delete(client);
    client.dispatch(options, handler);
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#all].map((client) => client.destroy()));
  }

  #add(): Client {
    const client = this.#connect();
    this.#all.add(client);
    // Emitted when the request is over and another one may come.
    client.on('drain', () => {
      if (!client.closed) this.#free.add(client);
    });
    client.on('disconnect', () => this.#retire(client));
    client.on('connectionError', () => this.#retire(client));
    return client;
  }

  /** By `close`, which lets a request that was given to it in this very tick be made on a new connection. */
  #retire(client: Client): void {
    this.#free.delete(client);
    if (client.closed || client.destroyed) return;
    client.close(() => this.#all.delete(client));
  }
}
