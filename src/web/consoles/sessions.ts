/**
 * Who is at this console: cookie -> artefact -> session, judged anew at each request; and the one-time code by which a browser that is signed
 * in at the main host gets that cookie.
 *
 * Threats: a code that is seen, guessed, replayed, meant for another console, or planted in somebody else's browser (login CSRF). It
 * is 256 random bits, is taken once, lives a minute, names its console, and is good only together with the nonce that this very
 * browser was given on the console's host before it left.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import { coveringKeys, type LogPosition } from '../../core/credential/revocation.ts';
import type { SessionRecord } from '../../store/store.ts';
import { newCookieValue } from '../browser/cookies.ts';
import { hostCookie } from './cookie-jar.ts';
import { OWN_PATH, type Console, type ConsoleDeps } from './dependencies.ts';

/** Between two redirects, both followed by a browser at once. */
const CODE_SECONDS = 60;
/** A person may have to sign in on the way. */
const ENTRY_SECONDS = 900;
/** Longer ones begin at the console's front page. */
const LONGEST_PATH = 2048;

const VALUE = /^[A-Za-z0-9_-]{43}$/;
const ENTRY = /^([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]*)$/;

const positionSchema = z.object({ epoch: z.string(), number: z.number() });
const codeSchema = z.object({ console: z.string(), session: z.string(), state: z.string() });
const cookieSchema = z.object({ console: z.string(), session: z.string(), position: positionSchema });

/** Somebody whose session is good for this console in this moment. */
export interface ConsoleVisitor {
  readonly record: SessionRecord;
  readonly position: LogPosition;
}

/** SHA-256, base64url: what the main host gets to see of the nonce. */
const stateOf = (nonce: string): string => createHash('sha256').update(nonce).digest('base64url');

export const isState = (value: unknown): value is string => typeof value === 'string' && VALUE.test(value);

/**
 * A path and query on the console's own host, or its front page. Threat: open redirects. Visible ASCII only, one slash in front, no
 * backslash: browsers read `//host`, `/\host` and `/<tab>/host` as another host.
 */
function ownPath(target: string): string {
  const good = target.length <= LONGEST_PATH && /^\/(?!\/)[!-[\]-~]*$/.test(target) && !target.startsWith(OWN_PATH);
  return good ? target : '/';
}

const expiredEntry = (reason: string): AppError =>
  new AppError('sign_in_expired', 'This way into the console was used already, or took too long.', { reason });

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
   * Marks the browser that leaves for the main host, and keeps where it wanted to go: in its own cookie, so that no address on the main
   * host carries a place to return to.
   * @param target undefined: the place that is kept already
   * @returns the state for the main host
   */
  leave(req: IncomingMessage, res: ServerResponse, target?: string): string {
    const kept = this.#entryOf(req);
    // The same nonce for a second tab, so that it does not spoil the first one's way in.
    const nonce = kept?.nonce ?? newCookieValue();
    const path = ownPath(target ?? kept?.path ?? '/');
    this.#entry.set(res, `${nonce}.${Buffer.from(path).toString('base64url')}`, ENTRY_SECONDS);
    return stateOf(nonce);
  }

  /**
   * On the main host: a code for somebody who is signed in there and may use the cluster.
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
   * On the console's host: the code for a cookie.
   *
   * A browser comes with another tab's code when that tab was quicker and its nonce is used up, and is in already by then. It is led on; as
   * nothing is opened by that, a code that was planted there opens nothing either.
   * @returns the path to go on to, and who was let in by the code; nobody where somebody is in already
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
    // Looked at before it is taken: somebody else's attempt must not burn it.
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

  /** Undefined: nobody is signed in at this console. @throws AppError `forbidden`, `fenced` or `store_unavailable` */
  async current(console: Console, req: IncomingMessage): Promise<ConsoleVisitor | undefined> {
    const value = this.#cookie.read(req);
    if (value === undefined || !VALUE.test(value)) return undefined;
    const payload = cookieSchema.safeParse(await this.#deps.store.artefacts.find('ConsoleCookie', value));
    // The cookie of one console opens no other, whoever carries it there.
    if (!payload.success || payload.data.console !== console.name) return undefined;
    const record = await this.#deps.store.sessions.read(payload.data.session);
    if (record === undefined) return undefined;
    const visitor = { record, position: payload.data.position };
    if (this.#rejection(visitor) !== undefined) return undefined;
    if (!this.#deps.mayUse(console.cluster, record.identity)) throw notAllowed(console);
    return visitor;
  }

  async #begin(console: Console, res: ServerResponse, { record, position }: ConsoleVisitor): Promise<void> {
    const value = newCookieValue();
    const ttlSeconds = Math.max(1, record.expiresAt - Math.floor(this.#deps.clock.now() / 1000));
    const payload = { console: console.name, session: record.id, position: { ...position } };
    await this.#deps.store.artefacts.save('ConsoleCookie', value, payload, { ttlSeconds, session: record.id });
    this.#cookie.set(res, value, ttlSeconds);
    this.#entry.clear(res);
  }

  /** The store's script before everything that opens something, and this replica's gate after it (docs/revocation-protocol.md#mint). */
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
    throw new AppError('fenced', 'This replica cannot vouch for anybody right now. Try again in a moment.');
  }

  #entryOf(req: IncomingMessage): { readonly nonce: string; readonly path: string } | undefined {
    const [, nonce, path] = ENTRY.exec(this.#entry.read(req) ?? '') ?? [];
    if (nonce === undefined || path === undefined) return undefined;
    return { nonce, path: ownPath(Buffer.from(path, 'base64url').toString('latin1')) };
  }
}
