/**
 * Revoking, as the admin page and the admin API both do it: what may be asked, whom it names, and the line in the record.
 */
import { z } from 'zod';
import { AppError } from '../core/errors.ts';
import type { Account } from '../core/identity.ts';
import type { RevocationTarget } from '../core/revocation.ts';
import type { RevocationAnswer } from '../revocation/revocation.ts';
import type { WebDeps } from './deps.ts';
import { faultOf } from './error-status.ts';
import { AdminError } from './problem.ts';
import { record } from './record.ts';
import type { Visit } from './visit.ts';

const LIST_PAGE = 200;

export const accountSchema = z
  .string()
  .max(512)
  .regex(/^[^/\s]+\/\S(?:.*\S)?$/, 'an account is PROVIDER/SUBJECT')
  .transform((value) => value as Account);

export const sessionIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a session id has letters, digits, - and _');

export const reasonSchema = z.string().trim().min(1, 'say why, for the record').max(500);

const forms = { session: true, account: true, username: true, provider: true, all: true } as const;

/** `POST revocations`: exactly one of the five, and a reason. */
export const revocationSchema = z
  .strictObject({
    session: sessionIdSchema.optional(),
    account: accountSchema.optional(),
    username: z.string().min(1).max(512).optional(),
    provider: z.string().min(1).max(63).optional(),
    all: z.literal(true).optional(),
    reason: reasonSchema,
  })
  .refine((body) => Object.keys(forms).filter((key) => Object.hasOwn(body, key)).length === 1, {
    message: 'name exactly one of session, account, username, provider, all',
  });

export type RevocationRequest = z.infer<typeof revocationSchema>;

/** The accounts that have a live session under this username. */
async function accountsNamed(deps: WebDeps, username: string): Promise<readonly Account[]> {
  const accounts = new Set<Account>();
  let cursor: string | undefined;
  do {
    const page = await deps.store.sessions.list({ limit: LIST_PAGE, ...(cursor === undefined ? {} : { cursor }) });
    for (const session of page.sessions) if (session.identity.username === username) accounts.add(session.account);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return [...accounts];
}

async function accountNamed(deps: WebDeps, username: string): Promise<Account> {
  const accounts = await accountsNamed(deps, username);
  const [account] = accounts;
  if (account !== undefined && accounts.length === 1) return account;
  const words =
    account === undefined
      ? 'Nobody with this username has a live session. Revoke by account, as PROVIDER/SUBJECT, to be sure.'
      : `${accounts.length} accounts have this username. Revoke by account: ${accounts.slice(0, 5).join(', ')}.`;
  throw new AdminError('username_ambiguous', 'conflict', words);
}

/**
 * Whom a request means.
 * @throws AdminError `session_not_found`, `provider_not_found`, `username_ambiguous`
 */
export async function targetOf(deps: WebDeps, request: RevocationRequest): Promise<RevocationTarget> {
  if (request.session !== undefined) {
    const session = await deps.store.sessions.read(request.session);
    if (session !== undefined) return { kind: 'session', session: session.id };
    throw new AdminError(
      'session_not_found',
      'not_found',
      'There is no live session of this id. It may have ended already.',
    );
  }
  if (request.account !== undefined) return { kind: 'account', account: request.account };
  if (request.username !== undefined) return { kind: 'account', account: await accountNamed(deps, request.username) };
  if (request.provider !== undefined) {
    // Threat: a mistyped name would be answered "complete", and the admin would believe it.
    if (deps.providers.has(request.provider)) return { kind: 'provider', provider: request.provider };
    throw new AdminError(
      'provider_not_found',
      'not_found',
      'There is no identity provider of this name. GET providers lists them.',
    );
  }
  return { kind: 'all' };
}

/** A target as one word for the record. */
function targetName(target: RevocationTarget): string {
  switch (target.kind) {
    case 'session':
      return `session:${target.session}`;
    case 'account':
      return `account:${target.account}`;
    case 'provider':
      return `provider:${target.provider}`;
    case 'all':
      return 'all';
  }
}

function notWritten(thrown: unknown): unknown {
  if (!(thrown instanceof AppError) || thrown.code !== 'store_unavailable') return thrown;
  const words =
    'The revocation could not be written, so nothing is promised. This replica refuses the target all the same. Send it again.';
  return new AdminError('revocation_not_written', 'store_unavailable', words, { cause: thrown });
}

function answerDetails(target: RevocationTarget, answer: RevocationAnswer): Record<string, string> {
  return {
    target: targetName(target),
    revocation: answer.id,
    complete: String(answer.complete),
    sessions: String(answer.sessions),
    'streams-closed': String(answer.streamsClosed),
  };
}

export interface RevocationOrder {
  readonly target: RevocationTarget;
  /** The admin's own words. */
  readonly reason: string;
  /** For the record. */
  readonly path: string;
}

/** 200 when proven, 202 when written and still being proven. */
export const revocationStatus = (answer: RevocationAnswer): 200 | 202 => (answer.complete ? 200 : 202);

/**
 * Revokes, and puts the outcome on the record either way.
 * @throws AdminError `revocation_not_written`
 */
export async function revoke(deps: WebDeps, visit: Visit, order: RevocationOrder): Promise<RevocationAnswer> {
  const { target, reason, path } = order;
  try {
    const answer = await deps.gate.revoke({ target });
    const details = answerDetails(target, answer);
    record(deps, visit, { event: 'revocation', path, code: revocationStatus(answer), reason, details });
    return answer;
  } catch (cause) {
    const thrown = notWritten(cause);
    const details = { target: targetName(target), outcome: faultOf(thrown).error.reason };
    record(deps, visit, { event: 'revocation', path, code: faultOf(thrown).status, reason, details });
    throw thrown;
  }
}
