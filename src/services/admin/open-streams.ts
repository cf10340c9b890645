/**
 * The streams that an account has open at all replicas, and the cut of a single one.
 *
 * A cut is no revocation: the session goes on, and its user may open the stream again at once. It is for the one shell
 * that must end while its user keeps what else they have open.
 */
import type { Answerers } from '../../audit/audit.ts';
import type { AdminResult } from '../../core/api/rejections.ts';
import { ADMIN_PROBLEMS } from '../../core/api/admin-problems.ts';
import { defined } from '../../core/defined.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, ok } from '../../core/result.ts';
import type { OpenStream, RevocationGuard } from '../../revocation/revocation.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { record } from '../../http/audit-events.ts';

/** Of one replica: the newest. An account has hundreds at most. */
const MOST_STREAMS = 50;
/** A page waits for the answers. Milliseconds. */
const ASK_MS = 1500;

const LIST = 'open-streams';
const CUT = 'cut-stream';

/** What one replica answers. */
interface OpenHere {
  readonly streams: readonly OpenStream[];
  /** Open here besides them. */
  readonly more: number;
}

interface CutQuestion {
  readonly account: Account;
  readonly auditId: string;
}

export interface OpenAtReplica extends OpenStream {
  /** The name of the replica. */
  readonly replica: string;
}

export interface OpenStreams {
  /** The newest first. */
  readonly streams: readonly OpenAtReplica[];
  /** Open besides them, at the replicas that answered. */
  readonly more: number;
  /** The names of the replicas that answered, and of those that did not. */
  readonly searched: readonly string[];
  readonly missing: readonly string[];
}

type StreamGuard = Pick<RevocationGuard, 'openStreams' | 'cutStream'>;

function openHere(guard: StreamGuard, account: Account): OpenHere {
  const streams = guard.openStreams(account);
  return { streams: streams.slice(0, MOST_STREAMS), more: Math.max(0, streams.length - MOST_STREAMS) };
}

/** Returns how a replica answers what the others ask about streams. */
export const answersStreams = (guard: StreamGuard): Answerers =>
  new Map<string, (question: unknown) => unknown>([
    [LIST, (question) => openHere(guard, question as Account)],
    [
      CUT,
      (question) => {
        const { account, auditId } = question as CutQuestion;
        return guard.cutStream(account, auditId);
      },
    ],
  ]);

/** Returns what an account has open at this moment, at every replica that answers in time. */
export async function openStreams(
  { guard, questions }: Pick<AdminDeps, 'guard' | 'questions'>,
  account: Account,
): Promise<OpenStreams> {
  const others = (await questions?.ask(LIST, account, { ms: ASK_MS })) ?? [];
  const self = { id: questions?.self ?? '', answer: openHere(guard, account) };
  const asked = [self, ...others].map(({ id, answer }) => ({ id, here: answer as OpenHere | undefined }));
  const namesOf = (isThere: boolean): readonly string[] =>
    asked.filter(({ here }) => (here !== undefined) === isThere).map(({ id }) => id);
  return {
    streams: asked
      .flatMap(({ id, here }) => here?.streams.map((stream) => ({ ...stream, replica: id })) ?? [])
      .toSorted((left, right) => right.request.at - left.request.at),
    more: asked.reduce((sum, { here }) => sum + (here?.more ?? 0), 0),
    searched: namesOf(true),
    missing: namesOf(false),
  };
}

/**
 * Cuts one open stream of an account, at whichever replica it is open.
 * @param cut.auditId of its request
 * @param cut.reason as the admin gave it
 */
export async function cutStream(
  deps: AdminDeps,
  { context, actor, path }: AdminContext,
  { account, auditId, reason }: { readonly account: Account; readonly auditId: string; readonly reason: string },
): Promise<AdminResult<undefined>> {
  actor.assertValid();
  const isCutHere = deps.guard.cutStream(account, auditId);
  const others = isCutHere ? [] : ((await deps.questions?.ask(CUT, { account, auditId }, { ms: ASK_MS })) ?? []);
  const isCut = isCutHere || others.some(({ answer }) => answer === true);
  // One that answers late may have it, and cuts it then: that none was found is said of those that answered.
  const unanswered = isCut ? [] : others.filter(({ answer }) => answer === undefined).map(({ id }) => id);
  const outcome = isCut ? undefined : 'stream_not_found';
  const code = outcome === undefined ? 200 : ADMIN_PROBLEMS[outcome].status;
  const details = {
    target: `account:${account}`,
    stream: auditId,
    ...defined({ outcome, unanswered: unanswered.join(' ') || undefined }),
  };
  record(deps, context, { event: 'stream-cut', path, code, reason, details });
  return outcome === undefined ? ok(undefined) : no({ reason: outcome, audited: true });
}
