/**
 * Connections to one API server for long-running requests: watches, logs, port-forwards of HTTP. As many as there
 * are such requests.
 *
 * For each request undici's own pool looks through its clients one by one, busy ones too, and it keeps the client
 * of every connection that it ever had: thousands of watches would make each further one wait, and eight kilobytes
 * of each would stay permanently. Here a free client is found immediately, and a client whose connection has closed
 * is forgotten.
 */
import type { Client, Dispatcher } from 'undici';

export class StreamConnections {
  readonly #connect: () => Client;
  readonly #all = new Set<Client>();
  /** Without a request, and connected: a client that has lost its connection leaves. */
  readonly #free = new Set<Client>();

  /** @param connect creates a client with one connection, which carries one request at a time */
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

  /**
   * Uses `close`, which lets a request that was given to the client in this very tick be sent on a new connection.
   */
  #retire(client: Client): void {
    this.#free.delete(client);
    if (client.closed || client.destroyed) return;
    client.close(() => this.#all.delete(client));
  }
}
