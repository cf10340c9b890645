/** Calls between the bench and the processes that it starts, over Node's own channel: one message there, one back. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** The functions of a process: each takes one plain value and returns one. */
export type Handlers<T> = { [K in keyof T]: (argument: never) => Promise<unknown> };

type Argument<F> = F extends (argument: infer A) => unknown ? A : never;
type Answer<F> = F extends (argument: never) => Promise<infer R> ? R : never;

interface AuditQuery {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

/** Answers the parent until it closes the channel. */
export function serve<T extends Handlers<T>>(handlers: T): void {
  process.on('message', (message) => {
    const { id, name, argument } = message as AuditQuery;
    const handler = handlers[name as keyof T];
    handler(argument as never).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) =>
        process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.once('disconnect', () => process.exit(0));
}

/** A started process, and the calls to it. */
export class Remote<T extends Handlers<T>> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  /** @param module path of the process' entry, which calls `serve` */
  constructor(module: string) {
    this.#child = fork(module, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
    this.#child.on('message', (message) => this.#settle(message as Reply));
    this.#child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${module} has ended`));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  call<K extends keyof T & string>(name: K, argument: Argument<T[K]>): Promise<Answer<T[K]>> {
    const waiting = Promise.withResolvers<unknown>();
    const id = (this.#last += 1);
    this.#waiting.set(id, waiting);
    // The caller gets the failure. A caller that has stopped waiting, because something else failed first, must not cause another error.
    waiting.promise.catch(() => undefined);
    this.#child.send({ id, name, argument });
    return waiting.promise as Promise<Answer<T[K]>>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.value);
  }
}
