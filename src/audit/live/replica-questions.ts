/**
 * What one replica asks all others: each has something of its own, audit files or open streams, so an answer from one is
 * not whole.
 *
 * It goes through the channel of the live views. The replica that asks subscribes to answers, each other one finds that
 * subscription and publishes one answer. It must not know who may ask, nor what any question means.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import type { LiveSource } from './live-tails.ts';

/** Another replica, as the revocation guard knows it. */
interface Replica {
  readonly id: string;
  readonly incarnation: string;
  readonly self: boolean;
  readonly state: string;
  readonly servesNothing?: true;
}

interface QuestionParts {
  readonly channel: Pick<LiveSource, 'subscribe' | 'unsubscribe' | 'read'>;
  /** Of this replica. */
  readonly incarnation: string;
  readonly replicas: () => readonly Replica[];
}

/** A replica, and what it answered. */
export interface ReplicaAnswer {
  readonly id: string;
  /** Absent: it has no answer, or none came in time. As it was published, so its shape is that of the replica's version. */
  readonly answer?: unknown;
}

export interface AskLimits {
  /** How long the others have. Default: 4 s. */
  readonly ms?: number | undefined;
  /** Whether the caller does not wait any more. */
  readonly isAbandoned?: (() => boolean) | undefined;
}

export interface ReplicaQuestions {
  /** The name of this replica. */
  readonly self: string;
  /**
   * Asks every other replica that serves.
   * @param kind the name under which they answer
   * @param question plain data
   */
  ask(kind: string, question: unknown, limits?: AskLimits): Promise<readonly ReplicaAnswer[]>;
}

/** As text it is the `question` of a subscription. */
interface Asked {
  readonly kind: string;
  /** The incarnation that asks. */
  readonly from: string;
  readonly question: unknown;
}

/** What a replica publishes. */
interface Published {
  /** The subscription. */
  readonly answers: string;
  /** The incarnation that answers. */
  readonly by: string;
  readonly answer?: unknown;
}

const LIMITS = {
  ms: 4000,
  pollMs: 25,
  /** All tails and questions of all replicas together. */
  most: 50,
  /** Answers that are read in one turn. */
  batch: 10,
};

export function createReplicaQuestions(parts: QuestionParts): ReplicaQuestions {
  const { replicas } = parts;
  return {
    get self() {
      return replicas().find(({ self }) => self)?.id ?? '';
    },
    ask: async (kind, question, limits = {}) => {
      const others = replicas().filter(({ self, servesNothing }) => !self && servesNothing !== true);
      if (others.length === 0) return [];
      const text = JSON.stringify({ kind, from: parts.incarnation, question } satisfies Asked);
      const answers = await answersOf(parts, others, text, limits);
      return others.map(({ id, incarnation }) => ({ id, answer: answers.get(incarnation) }));
    },
  };
}

/** Returns the answers by incarnation, of those that answered in time. */
async function answersOf(
  { channel }: QuestionParts,
  others: readonly Replica[],
  question: string,
  { ms = LIMITS.ms, isAbandoned }: AskLimits,
): Promise<ReadonlyMap<string, unknown>> {
  const answers = new Map<string, unknown>();
  const tail = randomBytes(16).toString('base64url');
  const until = performance.now() + ms;
  // One that is silent is not waited for, but its answer counts if it comes.
  const awaited = others.filter(({ state }) => state !== 'silent');
  try {
    const subscribed = await channel.subscribe(tail, { question }, { ttlMs: ms + 1000, most: LIMITS.most });
    if (subscribed.kind !== 'new') return answers;
    let { position } = subscribed;
    while (!awaited.every((replica) => answers.has(replica.incarnation))) {
      if (performance.now() > until || isAbandoned?.() === true) break;
      const { entries } = await channel.read(position, LIMITS.batch);
      for (const entry of entries) {
        position = entry.position;
        const answer = entry.text === undefined ? undefined : answerTo(tail, entry.text);
        if (answer !== undefined) answers.set(answer.by, answer.answer);
      }
      if (entries.length < LIMITS.batch) await delay(LIMITS.pollMs, undefined, { ref: false });
    }
    await channel.unsubscribe(tail);
  } catch (error) {
    // What this replica has is shown, with the others as missing.
    if (!(error instanceof AppError && error.code === 'store_unavailable')) throw error;
  }
  return answers;
}

function answerTo(tail: string, text: string): Published | undefined {
  if (!text.startsWith('{"answers":')) return undefined;
  const published = JSON.parse(text) as Published;
  return published.answers.startsWith(`${tail} `) ? published : undefined;
}

/** By kind: returns the answer as plain data, or undefined where it has none. One that rejects has none. */
export type Answerers = ReadonlyMap<string, (question: unknown) => unknown>;

/**
 * Returns what a replica publishes for a question of another one; undefined for its own.
 * @param asked.subscription the id of the subscription
 * @param asked.text its `question`
 * @param asked.by the incarnation of this replica
 */
export async function answerQuestion(
  answerers: Answerers,
  { subscription, text, by }: { readonly subscription: string; readonly text: string; readonly by: string },
): Promise<string | undefined> {
  const { kind, from, question } = JSON.parse(text) as Asked;
  if (from === by) return undefined;
  // One of a later version may ask what this one does not know.
  const answer = await Promise.resolve(question)
    .then((asked) => answerers.get(kind)?.(asked))
    .catch(() => undefined);
  return JSON.stringify({ answers: subscription, by, answer } satisfies Published);
}
