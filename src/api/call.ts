/** What a handler of an operation is given, and what it returns. It has no response object, so none can send by itself. */
import type { Response } from 'express';
import type { z } from 'zod';
import type { AnswerOf, ApiDescription } from '../core/api/operation.ts';
import type { AuditFacts } from '../core/audit/event.ts';
import type { Actor, RequestContext } from '../http/request-context.ts';
import type { EventStream } from './event-stream.ts';

/** One call, whose caller is identified and may make it. */
export interface Call<Query = unknown, Body = unknown> {
  readonly actor: Actor;
  readonly context: RequestContext;
  /** Of the request, without its query. */
  readonly path: string;
  /** The parameters of the path, not yet checked. */
  readonly params: Readonly<Record<string, string>>;
  /** As it was sent, for the audit event. */
  readonly rawQuery: Readonly<Record<string, unknown>>;
  readonly query: Query;
  readonly body: Body;
  readonly header: (name: string) => string | undefined;
  /** Aborts when the client has gone. */
  readonly gone: () => AbortSignal;
  /** Whether the client has gone. */
  readonly isAbandoned: () => boolean;
}

/** What was read, for the audit event `admin-read`. */
export interface ReadAudit {
  readonly reason: string;
  readonly details?: AuditFacts;
}

export interface Reply<B = object> {
  /** Default: 200. */
  readonly status?: number;
  readonly body?: B;
  /** A download, in place of a body. */
  readonly file?: { readonly name: string; readonly type: string; readonly text: string };
  /** Absent: the service has audited what it did, or there is nothing to audit. */
  readonly read?: ReadAudit;
}

/** A stream of events that is about to begin. */
export interface Live {
  readonly read: ReadAudit;
  /** Sends the events until the stream is over. Absent: there is nothing more to send, so the response is 204. */
  readonly events?: () => Promise<void>;
}

type QueryOf<O> = O extends { readonly query: infer Q extends z.ZodType } ? z.output<Q> : undefined;

type BodyOf<A extends ApiDescription, O> = O extends { readonly body: infer N extends keyof A['schemas'] }
  ? z.output<A['schemas'][N]>
  : undefined;

type OperationsOf<A extends ApiDescription> = A['operations'];

export type CallOf<A extends ApiDescription, N extends keyof OperationsOf<A>> = Call<
  QueryOf<OperationsOf<A>[N]>,
  BodyOf<A, OperationsOf<A>[N]>
>;

export type Handler<C = Call<never, never>, B = object> = (call: C) => Promise<Reply<B>> | Reply<B>;

type Streams<O> = O extends { readonly stream: object } ? true : false;
type OnlyStreams<O> = O extends { readonly stream: { readonly only: true } } ? true : false;

/** A handler for each operation that responds with one document. An operation without a handler does not compile. */
export type Handlers<A extends ApiDescription> = {
  readonly [N in keyof OperationsOf<A> as OnlyStreams<OperationsOf<A>[N]> extends true ? never : N]: Handler<
    CallOf<A, N>,
    AnswerOf<A, OperationsOf<A>[N]>
  >;
};

/** How an operation is served as a stream of events. */
export interface LiveView<C = Call<never, never>> {
  /** Reads what comes first. The stream is registered, and nothing is sent yet. */
  readonly open: (call: C, stream: EventStream) => Promise<Live> | Live;
  /** Returns a stream of the caller. @throws ProblemError where too many are open */
  readonly stream: (begin: StreamBegin) => EventStream;
}

export interface StreamBegin {
  readonly actor: Actor;
  readonly res: Response;
}

/** A view for each operation that can be a stream. */
export type LiveViews<A extends ApiDescription> = {
  readonly [N in keyof OperationsOf<A> as Streams<OperationsOf<A>[N]> extends true ? N : never]: LiveView<CallOf<A, N>>;
};
