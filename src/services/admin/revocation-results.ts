/**
 * The results of revocations, for every replica: each result is saved in the store, and saved again each time it has
 * become more complete. With who revoked what and why it is a receipt, which is kept for thirty days. The audit log
 * has the same for as long as it is kept.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { AdminResult } from '../../core/api/rejections.ts';
import { revocationResultSchema } from '../../core/api/responses.ts';
import { AppError } from '../../core/errors.ts';
import { RESULT_KEPT_SECONDS, type RevocationResult } from '../../revocation/revocation.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminDeps } from './dependencies.ts';
import { record } from '../../http/audit-events.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import { rfc3339 } from '../../core/time.ts';
import { defined } from '../../core/defined.ts';

const RECEIPT_SECONDS = 30 * 86_400;
/**
 * An attacker with an admin's session revokes in a loop and fills the store with receipts. A thousand a day are
 * two to nine megabytes, so that many are kept by each replica; further ones are known for ten minutes.
 * Users take and end grants in a loop, and the receipts of admins are dropped for theirs. So the ends of grants are counted
 * apart, and one user ends as many with a receipt as are left for all.
 */
const RECEIPTS_A_DAY = 1000;

/** The request of a revocation, for the audit event of a proof that comes later than its response. */
export interface ResultContext {
  readonly context: RequestContext;
  readonly path: string;
  readonly reason: string;
  readonly target: string;
  readonly lock: boolean;
  /** The sessions that it ends, as far as they were read. */
  readonly sessions?: readonly SessionRecord[];
  /** The admin, or both. */
  readonly by: string;
  /** False for a drill, which a monitor runs every few minutes: it is known for ten minutes. */
  readonly receipt: boolean;
  /**
   * Equal for equal requests of one admin: it tells a repeated request from an id that was used for another
   * request.
   */
  readonly fingerprint: string;
}

/** A result with what was revoked, by whom and why; those are absent where it did not come from the admin API. */
export type RevocationReceipt = z.output<typeof revocationResultSchema>;

export interface RevocationResults {
  /**
   * Registers a revocation before the guard runs it, because its proof may come in the tick of its result.
   * @returns a function to call where the revocation failed; `request_id_reused` where the id belongs to another request, also
   *   to one that is still running
   */
  expect(id: string, about: ResultContext): AdminResult<() => void>;
  /** Saves the first result. Never throws, because the revocation stands whether its result can be saved or not. */
  keep(answer: RevocationResult): Promise<RevocationReceipt>;
  /** Returns a receipt; undefined where it is unknown here and in the store, or older than thirty days. */
  find(id: string): Promise<RevocationReceipt | undefined>;
  /**
   * Returns the result of the same request from the last ten minutes; undefined where this is the first one;
   * `request_id_reused` where the id belongs to another request.
   */
  repeated(id: string, fingerprint: string): Promise<AdminResult<RevocationReceipt | undefined>>;
}

const payloadSchema = z.object({
  /** Absent where the revocation did not come from the admin API. */
  fingerprint: z.string().exactOptional(),
  answer: revocationResultSchema,
});

const isRecent = (at: string, nowMs: number): boolean => nowMs - Date.parse(at) < RESULT_KEPT_SECONDS * 1000;

/** Returns whether a result may still change: it is not proven, and the replica that was asked still knows it. */
export const isFollowed = ({ at, complete }: RevocationResult, nowMs: number): boolean =>
  !complete && isRecent(at, nowMs);

/** More replicas than any installation has. The limit keeps an audit event small. */
const MAX_RECEIPTS = 100;

/** Returns each replica's state for the audit log, as `portcullis-0=applied portcullis-1=fenced`. */
export const receiptsOf = ({ replicas }: RevocationResult): string =>
  replicas
    .slice(0, MAX_RECEIPTS)
    .map(({ id, state }) => `${id}=${state}`)
    .join(' ');

/** Returns the delegated sessions that ended with it for the audit log, as `ID=claude ID=claude/reviewer`. */
export const delegatedOf = ({ delegated = [] }: RevocationResult): string =>
  delegated.map(({ id, name }) => `${id}=${name}`).join(' ');

/** Writes `revocation-proven`, the audit event of a proof that came after a 202. */
function auditProof(
  deps: Pick<ResultDeps, 'audit' | 'clock'>,
  result: RevocationResult,
  about: ResultContext | undefined,
): void {
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

/** A client chooses its user agent, at any length. */
const MAX_USER_AGENT = 200;

function endedSession(session: SessionRecord): NonNullable<RevocationReceipt['ended']>[number] {
  const { id, client, createdAt, address, userAgent, deviceName } = session;
  return {
    id,
    client,
    createdAt: rfc3339(createdAt),
    lastUsedAt: rfc3339(lastUseOf(session)),
    address,
    userAgent: userAgent.slice(0, MAX_USER_AGENT),
    ...defined({ deviceName }),
  };
}

interface ResultDeps extends Pick<AdminDeps, 'clock' | 'logger'> {
  readonly audit: Pick<AdminDeps['audit'], 'record' | 'blocked'>;
  readonly store: Pick<AdminDeps['store'], 'artefacts'>;
  readonly guard: Pick<AdminDeps['guard'], 'result' | 'onResult'>;
}

/** Subscribes to the results of the revocation guard. Create it once for the process. */
export function createRevocationResults(deps: ResultDeps): RevocationResults {
  const { artefacts } = deps.store;
  const receipts = { day: 0, of: new Map<string, number>() };
  /**
   * Also holds proven revocations, because a request with the same id may come again for as long as the id is
   * known.
   */
  const expected = new Map<string, ResultContext & { readonly untilMs: number; readonly ttlSeconds: number }>();
  const saving = new Map<string, Promise<void>>();

  /** Returns for how long a new result is kept. */
  function lifetimeOf({ receipt, target, by }: ResultContext): number {
    if (!receipt) return RESULT_KEPT_SECONDS;
    const day = Math.floor(deps.clock.nowMs() / 86_400_000);
    if (day !== receipts.day) Object.assign(receipts, { day, of: new Map() });
    const isGrant = target.startsWith('grant:');
    const kind = isGrant ? 'grants' : 'revocations';
    const all = receipts.of.get(kind) ?? 0;
    const own = isGrant ? (receipts.of.get(`by ${by}`) ?? 0) : 0;
    if (own >= RECEIPTS_A_DAY - all) return RESULT_KEPT_SECONDS;
    receipts.of.set(kind, all + 1);
    if (isGrant) receipts.of.set(`by ${by}`, own + 1);
    return RECEIPT_SECONDS;
  }

  /** Returns a result of this replica's guard with what this replica, or another one, knows of its request. */
  function receiptOf(result: RevocationResult, stored?: RevocationReceipt): RevocationReceipt {
    const about = expected.get(result.id);
    if (about === undefined) {
      // The stored one may be older, and name what is missing of a revocation that is complete now.
      const { missing: _older, ...request } = stored ?? {};
      return { ...request, ...result };
    }
    const { target, lock, reason, by, context, sessions } = about;
    const ended = sessions?.map(endedSession);
    return { ...result, ...defined({ ended }), target, lock, reason, by, auditId: context.requestId };
  }

  /** Saves the results of one revocation one after another. Otherwise an older one could overwrite a newer one. */
  async function save(result: RevocationResult): Promise<RevocationReceipt> {
    const { id } = result;
    const receipt = receiptOf(result);
    const { fingerprint, ttlSeconds = RESULT_KEPT_SECONDS } = expected.get(id) ?? {};
    const payload = { answer: receipt, ...defined({ fingerprint }) };
    const turn = (saving.get(id) ?? Promise.resolve()).then(() => write(payload, ttlSeconds));
    saving.set(id, turn);
    await turn;
    if (saving.get(id) === turn) saving.delete(id);
    return receipt;
  }

  async function write(payload: z.output<typeof payloadSchema>, ttlSeconds: number): Promise<void> {
    const { id } = payload.answer;
    try {
      await artefacts.save('RevocationAnswer', id, payload, { ttlSeconds });
    } catch (err) {
      deps.logger.warn({ err, revocation: id }, 'revocation result not saved, only this replica knows it');
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
      if (before !== undefined && before.fingerprint !== about.fingerprint) return no({ reason: 'request_id_reused' });
      const untilMs = deps.clock.nowMs() + RESULT_KEPT_SECONDS * 1000;
      const entry = { ...about, untilMs, ttlSeconds: lifetimeOf(about) };
      expected.set(id, entry);
      return ok(() => {
        if (expected.get(id) === entry) expected.delete(id);
      });
    },
    keep: save,
    async find(id) {
      const result = deps.guard.result(id);
      if (result !== undefined && expected.has(id)) return receiptOf(result);
      if (result === undefined) return (await read(id))?.answer;
      return receiptOf(result, (await readIfAvailable(id))?.answer);
    },
    async repeated(id, fingerprint) {
      const kept = await readIfAvailable(id);
      if (kept === undefined || !isRecent(kept.answer.at, deps.clock.nowMs())) return ok(undefined);
      if (kept.fingerprint !== fingerprint) return no({ reason: 'request_id_reused' });
      const result = deps.guard.result(id);
      return ok(result === undefined ? kept.answer : receiptOf(result, kept.answer));
    },
  };
}
