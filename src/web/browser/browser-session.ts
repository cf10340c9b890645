/**
 * The signed-in user of a browser: cookie → artefact → session → revocation guard. Nothing is cached here: each
 * request is checked again, so a revocation takes effect with the next one.
 */
import { fencedError } from '../../http/error-status.ts';
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Response } from 'express';
import { z } from 'zod';
import { accountSchema } from '../../core/api/fields.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { coveringKeys } from '../../core/credential/revocation.ts';
import type { GuardRejection } from '../../revocation/revocation.ts';
import { idleEndOf, type SessionRecord } from '../../store/store.ts';
import { browserCookie, newCookieValue } from './cookies.ts';
import { type WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import type { OpenedSession } from '../sign-in/sign-in.ts';
import type { Actor } from '../../http/request-context.ts';
import { registerFor } from '../../http/revocable-response.ts';
import { defined } from '../../core/defined.ts';

/** A user who is signed in at these pages. */
export interface SignedIn extends Actor {
  readonly record: SessionRecord;
  /** Each form and each unsafe call must carry it. */
  readonly csrf: string;
  /**
   * The provider's ID token from the sign-in. It is sealed in the store, and sent to that provider only, when the
   * user signs out.
   */
  readonly idToken: string | undefined;
}

export interface BrowserSessions {
  /** Ties this browser to a session, with a new cookie value for each sign-in. */
  begin(res: Response, session: OpenedSession): Promise<void>;
  /** Returns the signed-in user; undefined if there is none. @throws AppError `fenced` or `store_unavailable` */
  current(req: IncomingMessage): Promise<SignedIn | undefined>;
  /**
   * Returns the message for a browser whose session was revoked, or ended because its provider or a rule rejected the
   * user; undefined where it is over for another reason, and after a sign-out.
   */
  whyEnded(req: IncomingMessage): Promise<string | undefined>;
  /** Returns whose session this browser had before it was over; undefined after a sign-out, and where it had none. */
  pastAccount(req: IncomingMessage): Promise<Account | undefined>;
  /** Deletes the cookie, here and in the browser. A revocation ends the session itself. */
  forget(req: IncomingMessage, res: Response): Promise<void>;
}

const payloadSchema = z.object({
  session: z.string(),
  csrf: z.string(),
  /** The position in the revocation log when the session was opened: only later entries can cover it. */
  position: z.object({ epoch: z.string(), number: z.number() }),
  idToken: z.string().optional(),
});

type Payload = z.output<typeof payloadSchema>;

/** What is left of a session that is over: whether something has revoked it can be asked until the cookie ends. */
const pastSchema = payloadSchema.pick({ session: true, position: true }).extend({
  account: accountSchema,
  provider: z.string(),
});

/** How old `lastUsedAt` may become before it is moved; otherwise each click would be a write. */
const TOUCH_SECONDS = 60;

const signedOutError = (reason: GuardRejection): AppError =>
  new AppError('unauthenticated', 'Your session has ended. Sign in again.', { reason });

/** How long after its end a browser can still be told why its session ended, and given back what was typed. */
const PAST_SECONDS = 3600;

const REVOKED =
  'Your session here was ended: by an administrator, by your identity provider, or from another device. Sign in again.';

/** Compares in constant time, so that the duration reveals nothing about how much was right. */
export function sameSecret(left: string, right: string): boolean {
  const digest = (value: string): Buffer => createHash('sha256').update(value).digest();
  return timingSafeEqual(digest(left), digest(right));
}

function signedIn(deps: WebDeps, session: SessionRecord, { csrf, position, idToken }: Payload): SignedIn {
  const { id, account, provider } = session;
  const credential = { keys: coveringKeys({ ...session, session: id }), position, session: id, account, provider };
  return {
    identity: session.identity,
    account: session.account,
    session: session.id,
    expiresAt: session.expiresAt,
    record: session,
    proof: session,
    csrf,
    idToken,
    assertValid() {
      const rejection = deps.guard.check(credential);
      if (rejection === 'fenced') throw fencedError();
      if (rejection !== undefined) throw signedOutError(rejection);
    },
    register: registerFor(deps.guard, credential, { expiresAt: session.expiresAt, idleAt: idleEndOf(session) }),
  };
}

/**
 * Returns undefined where the session is over or revoked. A fenced guard is an error and does not sign the user
 * out.
 */
function ifGood(user: SignedIn): SignedIn | undefined {
  try {
    user.assertValid();
    return user;
  } catch (error) {
    if (error instanceof AppError && error.code === 'unauthenticated') return undefined;
    throw error;
  }
}

export function createBrowserSessions(deps: WebDeps): BrowserSessions {
  const cookie = browserCookie(deps.config.publicUrl, 'portcullis');
  const { artefacts, sessions } = deps.store;

  /** Moves `lastUsedAt`, so that a browser in use does not run into the idle timeout. */
  async function touch(session: SessionRecord): Promise<boolean> {
    if (nowSeconds(deps) - session.lastUsedAt < TOUCH_SECONDS) return true;
    const outcome = await sessions.mint(session.id, {});
    return outcome.ok;
  }

  async function pastOf(req: IncomingMessage): Promise<z.output<typeof pastSchema> | undefined> {
    const value = cookie.read(req);
    // The sign-in page works without it.
    const past = value === undefined ? undefined : await artefacts.find('PastCookie', value).catch(() => undefined);
    return pastSchema.safeParse(past).data;
  }

  return {
    async begin(res, session) {
      const value = newCookieValue();
      const csrf = randomBytes(16).toString('base64url');
      const { id, idToken, position } = session;
      const payload = { session: id, csrf, position: { ...position }, ...defined({ idToken }) };
      const ttlSeconds = Math.max(1, session.expiresAt - nowSeconds(deps));
      await artefacts.save('BrowserCookie', value, payload, { ttlSeconds, session: session.id });
      // Expires by its own time: the other artefact ends with the session, and the browser could not be told why.
      const pastSeconds = ttlSeconds + PAST_SECONDS;
      const past = { session: id, account: session.account, provider: session.provider, position: { ...position } };
      await artefacts.save('PastCookie', value, past, { ttlSeconds: pastSeconds });
      cookie.set(res, value, pastSeconds);
    },
    async current(req) {
      const value = cookie.read(req);
      if (value === undefined) return undefined;
      const payload = payloadSchema.safeParse(await artefacts.find('BrowserCookie', value));
      if (!payload.success) return undefined;
      const session = await sessions.read(payload.data.session);
      if (session === undefined || !(await touch(session))) return undefined;
      // Where the provider cannot be asked the pages go on: its users, or all of them, may have to be revoked just then.
      const checked = deps.recheck === undefined ? { record: session } : await deps.recheck(session);
      return checked && ifGood(signedIn(deps, checked.record, payload.data));
    },
    async whyEnded(req) {
      const past = await pastOf(req);
      if (past === undefined) return undefined;
      const why = await deps.endings?.ofSession(past.session);
      if (why !== undefined) return why;
      return deps.guard.check({ ...past, keys: coveringKeys(past) }) === 'session_revoked' ? REVOKED : undefined;
    },
    pastAccount: async (req) => (await pastOf(req))?.account,
    async forget(req, res) {
      const value = cookie.read(req);
      cookie.clear(res);
      if (value === undefined) return;
      await Promise.all([artefacts.destroy('BrowserCookie', value), artefacts.destroy('PastCookie', value)]);
    },
  };
}
