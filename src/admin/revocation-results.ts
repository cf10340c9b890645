/**
 * The results of revocations, for every replica: each result is saved in the store for as long as the revocation
 * guard keeps its own, and saved again each time it has become more complete.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { revocationResultSchema } from '../core/admin-api/responses.ts';
import { AppError } from '../core/errors.ts';
import type { RevocationResult } from '../revocation/revocation.ts';
import type { AdminDeps } from './dependencies.ts';
import { AdminError } from './problem.ts';
import { record } from '../http/audit-events.ts';
import type { RequestContext } from '../http/request-context.ts';

/** As long as the revocation guard keeps a result. */
const TTL_SECONDS = 600;

/** The request of a revocation, for the audit event of a proof that comes later than its response. */
export interface ResultContext {
  readonly context: RequestContext;
  readonly path: string;
  readonly reason: string;
  readonly target: string;
  /**
   * Equal for equal requests of one admin: it tells a repeated request from an id that was used for another
   * request.
   */
  readonly fingerprint: string;
}

export interface RevocationResults {
  /**
   * Registers a revocation before the guard runs it, because its proof may come in the tick of its result.
   * @returns a function to call where the revocation failed
   * @throws AdminError `request_id_reused` where the id belongs to another request, also to one that is still running
   */
  expect(id: string, about: ResultContext): () => void;
  /** Saves the first result. Never throws, because the revocation stands whether its result can be saved or not. */
  keep(answer: RevocationResult): Promise<void>;
  /** Returns a result; undefined where it is unknown here and in the store, or older than ten minutes. */
  find(id: string): Promise<RevocationResult | undefined>;
  /**
   * Returns the result of the same request from before; undefined where this is the first one.
   * @throws AdminError `request_id_reused` where the id belongs to another request
   */
  repeated(id: string, fingerprint: string): Promise<RevocationResult | undefined>;
}

const payloadSchema = z.object({
  /** Absent where the revocation did not come from the admin API. */
  fingerprint: z.string().exactOptional(),
  answer: revocationResultSchema,
});

export const reusedError = (cause?: unknown): AdminError =>
  new AdminError(
    'request_id_reused',
    'conflict',
    'This request id has already been used for another request. Use a new one.',
    { cause },
  );

export const revocationNotFound = (): AdminError =>
  new AdminError(
    'revocation_not_found',
    'not_found',
    'No revocation of this id is known from the last ten minutes. The audit log has all of them.',
  );

/** More replicas than any installation has. The limit keeps an audit event small. */
const MAX_RECEIPTS = 100;

/** Returns each replica's state for the audit log, as `portcullis-0=applied portcullis-1=fenced`. */
export const receiptsOf = ({ replicas }: RevocationResult): string =>
  replicas
    .slice(0, MAX_RECEIPTS)
    .map(({ id, state }) => `${id}=${state}`)
    .join(' ');

/** Writes `revocation-proven`, the audit event of a proof that came after a 202. */
function auditProof(deps: AdminDeps, result: RevocationResult, about: ResultContext | undefined): void {
  const { context, path, reason, target } = about ?? {
    context: { requestId: randomUUID(), address: '', userAgent: '' },
    path: '',
    reason: '',
    target: '',
  };
  const details = {
    target,
    revocation: result.id,
    receipts: receiptsOf(result),
    'elapsed-ms': String(Math.round(result.elapsedMs)),
    'streams-closed': String(result.streamsClosed),
  };
  record(deps, context, { event: 'revocation-proven', path, code: 200, reason, details });
}

/** Subscribes to the results of the revocation guard. Create it once for the process. */
export function createRevocationResults(deps: AdminDeps): RevocationResults {
  const { artefacts } = deps.store;
  /**
   * Also holds proven revocations, because a request with the same id may come again for as long as the id is
   * known.
   */
  const expected = new Map<string, ResultContext & { readonly untilMs: number }>();
  const saving = new Map<string, Promise<void>>();

  /** Saves the results of one revocation one after another. Otherwise an older one could overwrite a newer one. */
  async function save(result: RevocationResult): Promise<void> {
    const { id } = result;
    const fingerprint = expected.get(id)?.fingerprint;
    const turn = (saving.get(id) ?? Promise.resolve()).then(() => write(result, fingerprint));
    saving.set(id, turn);
    await turn;
    if (saving.get(id) === turn) saving.delete(id);
  }

  async function write(result: RevocationResult, fingerprint: string | undefined): Promise<void> {
    const payload = { answer: { ...result }, ...(fingerprint === undefined ? {} : { fingerprint }) };
    try {
      await artefacts.save('RevocationAnswer', result.id, payload, { ttlSeconds: TTL_SECONDS });
    } catch (err) {
      deps.logger.warn({ err, revocation: result.id }, 'revocation result not saved, only this replica knows it');
    }
  }

  /**
   * Reads the stored result of an id; undefined where the store is unavailable, because a revocation must not wait
   * for it.
   */
  async function readIfAvailable(id: string): Promise<z.infer<typeof payloadSchema> | undefined> {
    try {
      return await read(id);
    } catch (error) {
      if (error instanceof AppError && error.code === 'store_unavailable') return undefined;
      throw error;
    }
  }

  async function read(id: string): Promise<z.infer<typeof payloadSchema> | undefined> {
    const parsed = payloadSchema.safeParse(await artefacts.find('RevocationAnswer', id));
    return parsed.success ? parsed.data : undefined;
  }

  function dropExpired(): void {
    const nowMs = deps.clock.nowMs();
    for (const [id, { untilMs }] of expected) if (untilMs <= nowMs) expected.delete(id);
  }

  deps.guard.onResult((answer) => {
    if (answer.complete) auditProof(deps, answer, expected.get(answer.id));
    void save(answer);
  });

  return {
    expect(id, about) {
      dropExpired();
      // The guard joins two requests by id and target, and the store may be unavailable. Neither knows the rest of
      // the request, a lock.
      const before = expected.get(id);
      if (before !== undefined && before.fingerprint !== about.fingerprint) throw reusedError();
      const entry = { ...about, untilMs: deps.clock.nowMs() + TTL_SECONDS * 1000 };
      expected.set(id, entry);
      return () => {
        if (expected.get(id) === entry) expected.delete(id);
      };
    },
    keep: save,
    async find(id) {
      return deps.guard.result(id) ?? (await read(id))?.answer;
    },
    async repeated(id, fingerprint) {
      const kept = await readIfAvailable(id);
      if (kept === undefined) return undefined;
      if (kept.fingerprint !== fingerprint) throw reusedError();
      return deps.guard.result(id) ?? kept.answer;
    },
  };
}
