/**
 * `GET audit`: the live record as server-sent events (WHATWG HTML, 9.2), for admins and auditors.
 *
 * Threat: a tail shows what everybody does, so it must not outlive the right to see it. It is judged in the tick of each write and whenever
 * the view changes, and ends with the credential's life at the latest; who comes back by `Last-Event-ID` is judged afresh.
 */
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { LiveTails, TailItem, TailRequest } from '../../../audit/live/live-tails.ts';
import { isGateEventName } from '../../../core/audit-catalogue.ts';
import { AppError } from '../../../core/errors.ts';
import { sessionKey, type LogChange } from '../../../core/revocation.ts';
import { nowSeconds, type WebDeps } from '../../deps.ts';
import { AdminError } from '../problem.ts';
import { record } from '../../record.ts';
import { accountSchema, sessionIdSchema } from '../revocation-request.ts';
import { findings } from '../session-query.ts';
import { visitOf, type Actor } from '../../visit.ts';

const LIMITS = {
  /** Proxies close what is silent, and a client learns that the connection is dead. */
  beatMs: 15_000,
  /** A reader that takes nothing for so long is disconnected. */
  slowMs: 10_000,
  /** How long the last words to a slow reader may take. */
  lastWordsMs: 1000,
};

const RETRY_MS = 1000;
const RETRY_AFTER_SECONDS = 5;

const word = (pattern: RegExp, words: string) => z.string().regex(pattern, words).optional();

const querySchema = z
  .strictObject({
    user: word(/^[^\p{C}]{1,512}$/u, 'a username'),
    account: accountSchema.optional(),
    session: sessionIdSchema.optional(),
    cluster: word(/^[a-z0-9.-]{1,63}$/, 'a cluster’s name'),
    verb: word(/^[a-z-]{1,40}$/, 'a verb, such as get or delete'),
    resource: word(/^[a-z0-9.-]{1,253}(?:\/[a-z0-9-]{1,63})?$/, 'a resource, such as pods or pods/exec'),
    namespace: word(/^[a-z0-9-]{1,63}$/, 'a namespace’s name'),
    code: word(/^[1-5]\d\d$/, 'an HTTP status, such as 403'),
    refused: z.literal('true', { error: 'true, or nothing' }).optional(),
    event: z.string().refine(isGateEventName, 'there is no event of this name').optional(),
  })
  .refine(({ code, refused }) => code === undefined || refused === undefined, {
    message: 'code and refused do not go together',
  });

/** @throws AppError `bad_request` that names the field */
function filterOf({ config }: WebDeps, query: object): TailRequest['filter'] {
  const parsed = querySchema.safeParse(query);
  if (!parsed.success) throw new AppError('bad_request', findings(parsed.error), { reason: 'query_malformed' });
  const filter: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed.data)) if (value !== undefined) filter[name] = value;
  // Threat: after a mistyped name nothing would ever be seen, and that would be believed.
  if (filter['cluster'] !== undefined && !config.clusters.some(({ name }) => name === filter['cluster'])) {
    throw new AppError('bad_request', 'cluster: there is no cluster of this name. GET clusters lists them.', {
      reason: 'query_malformed',
    });
  }
  return filter;
}

async function opened(tails: LiveTails, request: TailRequest, res: Response): Promise<AsyncIterable<TailItem>> {
  try {
    return await tails.open(request);
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'conflict')) throw error;
    res.setHeader('Retry-After', String(RETRY_AFTER_SECONDS));
    throw new AdminError('too_many_tails', 'conflict', error.message, { cause: error });
  }
}

/** @param limits only tests have others */
export function tailAudit(deps: WebDeps, tails: LiveTails, limits: Partial<typeof LIMITS> = {}): RequestHandler {
  const open = new Set<Listener>();
  deps.gate.onChange((change) => {
    for (const listener of open) listener.judge(change);
  });
  return async (req, res) => {
    const { actor } = visitOf(req);
    if (actor === undefined) throw new Error('the caller must be identified first');
    const filter = filterOf(deps, req.query);
    const listener = new Listener(res, actor, { ...LIMITS, ...limits });
    open.add(listener);
    try {
      const after = req.get('Last-Event-ID');
      const { signal } = listener;
      const items = await opened(tails, { filter, signal, ...(after === undefined ? {} : { after }) }, res);
      actor.assertGood();
      asked(deps, req, filter);
      if (req.method === 'HEAD') return void res.end();
      listener.begin(lifeMs(deps, actor));
      await listener.tell(items);
    } finally {
      open.delete(listener);
      listener.close();
    }
  };
}

/** Whoever looks at the record is on it. */
function asked(deps: WebDeps, req: Request, filter: object): void {
  const path = req.originalUrl.split('?', 1)[0] ?? '';
  const details = { filter: JSON.stringify(filter) };
  record(deps, visitOf(req), { event: 'admin-read', path, code: 200, reason: 'audit', details });
}

/** A cookie lives long, so a browser's tail ends when an access token would. */
function lifeMs(deps: WebDeps, { expiresAt }: Actor): number {
  const longest = deps.config.sessions.accessToken;
  return Math.min(longest, (expiresAt ?? Infinity) - nowSeconds(deps)) * 1000;
}

type EndReason = 'credential_over' | 'identity_changed' | 'leaving';

class Listener {
  readonly #res: Response;
  readonly #actor: Actor;
  readonly #limits: typeof LIMITS;
  readonly #ending = new AbortController();
  #reason: EndReason = 'leaving';
  #life: NodeJS.Timeout | undefined;
  /** The first one comes at once: who loses the connection before the first event knows where to go on. */
  #beatAt = Number.NEGATIVE_INFINITY;

  constructor(res: Response, actor: Actor, limits: typeof LIMITS) {
    this.#res = res;
    this.#actor = actor;
    this.#limits = limits;
    res.on('close', () => this.#ending.abort());
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  begin(lifeMs: number): void {
    this.#res.writeHead(200, {
      'Content-Type': 'text/event-stream',
      // A proxy that gathers answers would hold the lines back.
      'X-Accel-Buffering': 'no',
    });
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
    this.#life = setTimeout(() => this.#end('credential_over'), Math.max(0, lifeMs));
    this.#life.unref();
  }

  /** The log has changed, or the lease is lost. */
  judge(change: LogChange | undefined): void {
    if (!this.#isGood()) return;
    // What the person may see is judged by groups, which may be others now.
    const own = sessionKey(this.#actor.session);
    if (change?.kind === 'identity-changed' && change.key === own) this.#end('identity_changed');
  }

  async tell(items: AsyncIterable<TailItem>): Promise<void> {
    for await (const item of items) {
      if (!(await this.#send(this.#frame(item)))) break;
    }
    if (this.#res.destroyed || this.#res.writableEnded || !this.#isGood()) return;
    this.#res.end(`event: end\ndata: ${JSON.stringify({ reason: this.#reason })}\n\n`);
  }

  close(): void {
    clearTimeout(this.#life);
    this.#ending.abort();
  }

  /** '' where there is nothing to say. A line of the record has no line end of any kind in it. */
  #frame(item: TailItem): string {
    const id = `id: ${item.id}\n`;
    switch (item.kind) {
      case 'event':
        return `${id}data: ${item.line}\n\n`;
      case 'gap':
        return `${id}event: gap\ndata: ${JSON.stringify({ reason: item.reason })}\n\n`;
      case 'idle':
        if (performance.now() - this.#beatAt < this.#limits.beatMs) return '';
        return `: nothing for now\n${id}\n`;
    }
  }

  /** @returns false once it is over */
  async #send(text: string): Promise<boolean> {
    if (this.signal.aborted || !this.#isGood()) return false;
    if (text === '') return true;
    this.#beatAt = performance.now();
    if (this.#res.write(text)) return true;
    if (await this.#drained()) return true;
    if (!this.signal.aborted) this.#giveUp();
    return false;
  }

  #drained(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, this.#limits.slowMs, false);
    this.#res.once('drain', () => resolve(true));
    this.signal.addEventListener('abort', () => resolve(false), { once: true });
    return promise.finally(() => clearTimeout(timer));
  }

  /** Threat: a reader that never reads would have us keep the record for it in memory. */
  #giveUp(): void {
    this.#res.end(`event: gap\ndata: ${JSON.stringify({ reason: 'too_slow' })}\n\n`);
    setTimeout(() => this.#res.destroy(), this.#limits.lastWordsMs).unref();
  }

  /** No byte more for whom the gate is shut: a reset, which cannot be taken for an end. */
  #isGood(): boolean {
    try {
      this.#actor.assertGood();
      return true;
    } catch {
      this.#ending.abort();
      if (this.#res.headersSent) this.#res.destroy();
      return false;
    }
  }

  #end(reason: EndReason): void {
    this.#reason = reason;
    this.#ending.abort();
  }
}
