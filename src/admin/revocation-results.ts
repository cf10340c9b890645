/**
 * What is known of a revocation, for any replica to ask: each answer is kept in the store for as long as the gate keeps its own, and
 * again each time it has become more complete.
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

/** As long as the gate can be asked (`Gate.answer`). */
const TTL_SECONDS = 600;

/** What the record says of a revocation whose proof came later than its answer. */
export interface AnswerContext {
  readonly context: RequestContext;
  readonly path: string;
  readonly reason: string;
  readonly target: string;
  /** Equal for equal requests of one admin; tells a repeated request from an id that was used for something else. */
  readonly fingerprint: string;
}

export interface RevocationResults {
  /**
   * To be called before the gate is asked: its proof may come in the tick of its answer.
   * @returns to be called where nothing came of it
   * @throws AdminError `request_id_reused` where the id stands for another request, also of one that is under way
   */
  expect(id: string, about: AnswerContext): () => void;
  /** Keeps the first answer. Never throws: what was revoked stays revoked. */
  keep(answer: RevocationResult): Promise<void>;
  /** Undefined: unknown here and in the store, or older than ten minutes. */
  find(id: string): Promise<RevocationResult | undefined>;
  /**
   * The answer that this very request has had already.
   * @throws AdminError `request_id_reused` where the id stands for another request
   */
  repeated(id: string, fingerprint: string): Promise<RevocationResult | undefined>;
}

const payloadSchema = z.object({
  /** Absent where the revocation was not asked for at the admin API. */
  fingerprint: z.string().exactOptional(),
  answer: revocationResultSchema,
});

export const reusedError = (cause?: unknown): AdminError =>
  new AdminError(
    'request_id_reused',
    'conflict',
    'This request id has already been used for something else. Use a new one.',
    { cause },
  );

/** More replicas than anybody runs; a line of the record stays a line. */
const MOST_RECEIPTS = 100;

/** For the record: what each replica has answered so far, as `gate-0=applied gate-1=fenced`. */
export const receiptsOf = ({ replicas }: RevocationResult): string =>
  replicas
    .slice(0, MOST_RECEIPTS)
    .map(({ id, state }) => `${id}=${state}`)
    .join(' ');

/** `revocation-proven`: the line for the proof that came after a 202. */
function recordProof(deps: AdminDeps, answer: RevocationResult, about: AnswerContext | undefined): void {
  const { context, path, reason, target } = about ?? {
    context: { requestId: randomUUID(), address: '', userAgent: '' },
    path: '',
    reason: '',
    target: '',
  };
  const details = {
    target,
    revocation: answer.id,
    receipts: receiptsOf(answer),
    'elapsed-ms': String(Math.round(answer.elapsedMs)),
    'streams-closed': String(answer.streamsClosed),
  };
  record(deps, context, { event: 'revocation-proven', path, code: 200, reason, details });
}

/** Begins to listen to the gate; one for the whole process. */
export function createRevocationResults(deps: AdminDeps): RevocationResults {
  const { artefacts } = deps.store;
  /** Also of what is proven: whose an answer is must be known for as long as the id can come again. */
  const expected = new Map<string, AnswerContext & { readonly until: number }>();
  const saving = new Map<string, Promise<void>>();

  /** One after another for each revocation: of two under way at once the older might arrive last, and would stand. */
  async function save(answer: RevocationResult): Promise<void> {
    const { id } = answer;
    const fingerprint = expected.get(id)?.fingerprint;
    const turn = (saving.get(id) ?? Promise.resolve()).then(() => write(answer, fingerprint));
    saving.set(id, turn);
    await turn;
    if (saving.get(id) === turn) saving.delete(id);
  }

  async function write(answer: RevocationResult, fingerprint: string | undefined): Promise<void> {
    const payload = { answer: { ...answer }, ...(fingerprint === undefined ? {} : { fingerprint }) };
    try {
      await artefacts.save('RevocationAnswer', answer.id, payload, { ttlSeconds: TTL_SECONDS });
    } catch (err) {
      deps.logger.warn({ err, revocation: answer.id }, 'an answer could not be kept: only this replica can be asked');
    }
  }

  /** What the store knows of the id. Where it is away nothing can be known, and a revocation must not wait for that. */
  async function readIfThere(id: string): Promise<z.infer<typeof payloadSchema> | undefined> {
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

  function dropOld(): void {
    const now = deps.clock.now();
    for (const [id, { until }] of expected) if (until <= now) expected.delete(id);
  }

  deps.guard.onAnswer((answer) => {
    if (answer.complete) recordProof(deps, answer, expected.get(answer.id));
    void save(answer);
  });

  return {
    expect(id, about) {
      dropOld();
      // The gate would join the two by id and target, and the store may be away: neither has seen what else was asked for, a lock.
      const before = expected.get(id);
      if (before !== undefined && before.fingerprint !== about.fingerprint) throw reusedError();
      const own = { ...about, until: deps.clock.now() + TTL_SECONDS * 1000 };
      expected.set(id, own);
      return () => {
        if (expected.get(id) === own) expected.delete(id);
      };
    },
    keep: save,
    async find(id) {
      return deps.guard.answer(id) ?? (await read(id))?.answer;
    },
    async repeated(id, fingerprint) {
      const kept = await readIfThere(id);
      if (kept === undefined) return undefined;
      if (kept.fingerprint !== fingerprint) throw reusedError();
      return deps.guard.answer(id) ?? kept.answer;
    },
  };
}
