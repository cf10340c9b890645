/**
 * The signed-in user of a console: cookie → artefact → session, checked again at each request; and the one-time
 * code by which a browser that is signed in at the main host gets that cookie.
 *
 * An attacker sees, guesses or replays a code, uses it at another console, or plants it in another user's browser
 * (login CSRF). So a code is 256 random bits, is consumed once, lives a minute, names its console, and is valid
 * only together with the nonce that the same browser was given on the console's host before it left.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import { coveringKeys, type LogPosition } from '../../core/credential/revocation.ts';
import type { SessionRecord } from '../../store/store.ts';
import { newCookieValue } from '../browser/cookies.ts';
import { hostCookie } from './cookie-jar.ts';
import { RESERVED_PATH, type Console, type ConsoleDeps } from './dependencies.ts';

/** The time between two redirects, which a browser follows immediately. */
const CODE_SECONDS = 60;
/** The user may have to sign in meanwhile. */
const ENTRY_SECONDS = 900;
/** A longer path is replaced by the console's front page. */
const LONGEST_PATH = 2048;

const VALUE = /^[A-Za-z0-9_-]{43}$/;
const ENTRY = /^([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]*)$/;

const positionSchema = z.object({ epoch: z.string(), number: z.number() });
const codeSchema = z.object({ console: z.string(), session: z.string(), state: z.string() });
const cookieSchema = z.object({ console: z.string(), session: z.string(), position: positionSchema });

/** A user whose session is valid for this console at this moment. */
export interface ConsoleVisitor {
  readonly record: SessionRecord;
  readonly position: LogPosition;
}

/** Returns the hash of the nonce for the main host: SHA-256, base64url. */
const stateOf = (nonce: string): string => createHash('sha256').update(nonce).digest('base64url');

export const isState = (value: unknown): value is string => typeof value === 'string' && VALUE.test(value);

/**
 * Returns a path with its query on the console's own host, or its front page. An attacker could use an open
 * redirect: browsers read `//host`, `/\host` and `/<tab>/host` as another host. So only visible ASCII passes, with
 * one slash in front and no backslash.
 */
function safePath(target: string): string {
  const good =
    target.length <= LONGEST_PATH && /^\/(?!\/)[!-[\]-~]*$/.test(target) && !target.startsWith(RESERVED_PATH);
  return good ? target : '/';
}

const expiredEntry = (reason: string): AppError =>
  new AppError(
    'sign_in_expired',
    'This sign-in to the console was used already, or took too long. Open the console again.',
    { reason },
  );

export const notAllowed = (console: Console): AppError =>
  new AppError('forbidden', `You may not use the cluster ${console.cluster}, which this console is for.`, {
    reason: 'cluster_not_allowed',
  });

const sessionOver = (reason: string): AppError =>
  new AppError('unauthenticated', 'Your session has ended. Sign in again.', { reason });

export class ConsoleSessions {
  readonly #deps: ConsoleDeps;
  readonly #cookie;
  readonly #entry;

  constructor(deps: ConsoleDeps) {
    this.#deps = deps;
    this.#cookie = hostCookie(deps.publicUrl, 'portcullis-console');
    this.#entry = hostCookie(deps.publicUrl, 'portcullis-console-entry');
  }

  /**
   * Prepares the redirect to the main host: sets a nonce and the requested path in a cookie of the console's host,
   * so that no URL on the main host contains a return path.
   *
   * @param target undefined: the path that the cookie has already
   * @returns the state for the main host
   */
  leave(req: IncomingMessage, res: ServerResponse, target?: string): string {
    const kept = this.#entryOf(req);
    // The same nonce for a second tab, so that it does not break the sign-in of the first.
    const nonce = kept?.nonce ?? newCookieValue();
    const path = safePath(target ?? kept?.path ?? '/');
    this.#entry.set(res, `${nonce}.${Buffer.from(path).toString('base64url')}`, ENTRY_SECONDS);
    return stateOf(nonce);
  }

  /**
   * On the main host: issues a code for a user who is signed in there and may use the cluster.
   *
   * @throws AppError `unauthenticated`, `fenced` or `store_unavailable`
   */
  async issueCode(console: Console, session: string, state: string): Promise<string> {
    await this.#mint(session);
    const code = newCookieValue();
    const payload = { console: console.name, session, state };
    await this.#deps.store.artefacts.save('ConsoleCode', code, payload, { ttlSeconds: CODE_SECONDS, session });
    return code;
  }

  /**
   * On the console's host: redeems a code for a cookie.
   *
   * A browser returns with the code of another tab when that tab was faster and its nonce is used up; it has a
   * session by then, and is redirected. That opens nothing, so neither does a code that an attacker planted.
   *
   * @returns the path to continue at, and the user whom the code admitted; no user where the browser had a session
   *   already
   * @throws AppError `sign_in_expired`, `unauthenticated`, `forbidden`, `fenced` or `store_unavailable`
   */
  async enter(
    console: Console,
    req: IncomingMessage,
    res: ServerResponse,
    code: string | undefined,
  ): Promise<{ readonly visitor?: ConsoleVisitor; readonly path: string }> {
    const entry = this.#entryOf(req);
    if (code === undefined || !VALUE.test(code)) throw expiredEntry('code_missing');
    const isIn = async (): Promise<boolean> => (await this.current(console, req)) !== undefined;
    if (entry === undefined) {
      if (await isIn()) return { path: '/' };
      throw expiredEntry('nonce_missing');
    }
    const isOwn = (payload: z.infer<typeof codeSchema>): boolean =>
      payload.console === console.name && payload.state === stateOf(entry.nonce);
    // Checked before it is consumed: an attacker's attempt in another browser must not use it up.
    const found = codeSchema.safeParse(await this.#deps.store.artefacts.find('ConsoleCode', code));
    if (!found.success) throw expiredEntry('code_unknown');
    if (!isOwn(found.data)) {
      if (await isIn()) return { path: entry.path };
      throw expiredEntry('other_browser');
    }
    const taken = codeSchema.safeParse(await this.#deps.store.artefacts.take('ConsoleCode', code));
    if (!taken.success) throw expiredEntry('code_used');
    const visitor = await this.#mint(taken.data.session);
    if (!this.#deps.mayUse(console.cluster, visitor.record.identity)) throw notAllowed(console);
    await this.#begin(console, res, visitor);
    return { visitor, path: entry.path };
  }

  /**
   * Returns the user of this console; undefined where none is signed in. @throws AppError `forbidden`, `fenced`,
   * `store_unavailable` or `provider_unavailable`
   */
  async current(console: Console, req: IncomingMessage): Promise<ConsoleVisitor | undefined> {
    const value = this.#cookie.read(req);
    if (value === undefined || !VALUE.test(value)) return undefined;
    const payload = cookieSchema.safeParse(await this.#deps.store.artefacts.find('ConsoleCookie', value));
    // The cookie of one console is invalid at any other.
    if (!payload.success || payload.data.console !== console.name) return undefined;
    const found = await this.#deps.store.sessions.read(payload.data.session);
    const record = found && (await this.#checked(found));
    if (record === undefined) return undefined;
    const visitor = { record, position: payload.data.position };
    if (this.#rejection(visitor) !== undefined) return undefined;
    if (!this.#deps.mayUse(console.cluster, record.identity)) throw notAllowed(console);
    return visitor;
  }

  /**
   * A console works at a cluster, so it goes on without the provider for as long as a stream does.
   * @returns undefined where the provider rejects the user @throws AppError `provider_unavailable`
   */
  async #checked(found: SessionRecord): Promise<SessionRecord | undefined> {
    if (this.#deps.recheck === undefined) return found;
    const checked = await this.#deps.recheck(found);
    if (checked?.isOverdue === true) {
      const message =
        'Your identity provider cannot be asked about you, and has not been for too long. Try again later.';
      throw new AppError('provider_unavailable', message, { reason: 'recheck_overdue' });
    }
    return checked?.record;
  }

  async #begin(console: Console, res: ServerResponse, { record, position }: ConsoleVisitor): Promise<void> {
    const value = newCookieValue();
    const ttlSeconds = Math.max(1, record.expiresAt - Math.floor(this.#deps.clock.nowMs() / 1000));
    const payload = { console: console.name, session: record.id, position: { ...position } };
    await this.#deps.store.artefacts.save('ConsoleCookie', value, payload, { ttlSeconds, session: record.id });
    this.#cookie.set(res, value, ttlSeconds);
    this.#entry.clear(res);
  }

  /**
   * Runs the store's script that precedes everything that opens something, and then this replica's revocation
   * guard (docs/revocation-protocol.md#mint).
   */
  async #mint(session: string): Promise<ConsoleVisitor> {
    const outcome = await this.#deps.store.sessions.mint(session, {});
    if (!outcome.ok) throw sessionOver(outcome.reason);
    const rejection = this.#rejection(outcome);
    if (rejection !== undefined) throw sessionOver(rejection);
    return { record: outcome.record, position: outcome.position };
  }

  #rejection({ record, position }: ConsoleVisitor): string | undefined {
    const rejection = this.#deps.guard.check({ keys: coveringKeys({ ...record, session: record.id }), position });
    if (rejection !== 'fenced') return rejection;
    throw new AppError('fenced', 'This replica cannot verify sessions right now. Try again in a moment.');
  }

  #entryOf(req: IncomingMessage): { readonly nonce: string; readonly path: string } | undefined {
    const [, nonce, path] = ENTRY.exec(this.#entry.read(req) ?? '') ?? [];
    if (nonce === undefined || path === undefined) return undefined;
    return { nonce, path: safePath(Buffer.from(path, 'base64url').toString('latin1')) };
  }
}
