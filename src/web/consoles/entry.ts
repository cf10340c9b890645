/**
 * The part of a console's sign-in on the main host: a user who is signed in here gets a one-time code for the
 * console's host.
 */
import { Router, type Request, type RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import { parameter, seeOther } from '../page/response.ts';
import type { BrowserSessions } from '../browser/browser-session.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { createRateLimiter, type RateLimiter } from '../../core/rate-limit.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf, noteActor } from '../../http/request-context.ts';
import { RESERVED_PATH, originOf, type Console, type ConsoleDeps } from './dependencies.ts';
import { isState, notAllowed, type ConsoleSessions } from './sessions.ts';

/** Codes for one session within a minute; twenty tabs that are restored at the same time need fewer. */
const CODES_PER_MINUTE = 60;

export interface EntranceParts {
  readonly deps: ConsoleDeps;
  readonly browsers: BrowserSessions;
  readonly sessions: ConsoleSessions;
}

interface Entrance extends EntranceParts {
  /**
   * By session. An attacker with a session requests codes in a loop, each of which is stored, and would fill the
   * store for all users.
   */
  readonly limit: RateLimiter;
}

function consoleOf({ deps }: EntranceParts, req: Request): Console {
  const console = deps.consoles.find(({ name }) => name === req.params['name']);
  if (console === undefined) throw new AppError('not_found', 'There is no console of this name.');
  return console;
}

async function codeFor(parts: Entrance, req: Request, state: string): Promise<string | undefined> {
  const { deps, browsers, sessions } = parts;
  const console = consoleOf(parts, req);
  const user = await browsers.current(req);
  if (user === undefined) return undefined;
  noteActor(req, user);
  if (!deps.mayUse(console.cluster, user.identity)) throw notAllowed(console);
  const wait = parts.limit.take(user.session);
  if (wait > 0) {
    const message = `You have opened consoles too often within a minute. Try again in ${wait} seconds.`;
    throw new AppError('conflict', message, { reason: 'too_many_console_entries' });
  }
  const code = await sessions.issueCode(console, user.session, state);
  user.assertValid();
  return code;
}

function enter(parts: Entrance): RequestHandler {
  return async (req, res) => {
    const { deps } = parts;
    const console = consoleOf(parts, req);
    const state = parameter(req.query['state']);
    if (!isState(state)) throw new AppError('bad_request', 'Open the console by its own address.');
    try {
      const code = await codeFor(parts, req, state);
      // After the sign-in the browser starts again at the console's host, where its nonce and its path are kept.
      if (code === undefined) return seeOther(res, `/login?to=console:${console.name}`);
      seeOther(res, `${originOf(deps.publicUrl, console)}${RESERVED_PATH}/enter?code=${code}`);
    } catch (error) {
      const { error: rejection, status } = appErrorOf(error);
      const details = { console: console.name, cluster: console.cluster };
      const event = { path: req.path, code: status, reason: rejection.reason, details };
      record(deps, contextOf(req), { event: 'console-refused', ...event });
      throw error;
    }
  };
}

/** Routes: `/consoles/:name`, the link to a console, and `/consoles/:name/enter`. */
export function entrance(parts: EntranceParts): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/consoles/:name', (req, res) => {
    seeOther(res, `${originOf(parts.deps.publicUrl, consoleOf(parts, req))}${RESERVED_PATH}/begin`);
  });
  const limit = createRateLimiter(CODES_PER_MINUTE, parts.deps.clock);
  router.get('/consoles/:name/enter', enter({ ...parts, limit }));
  return router;
}
