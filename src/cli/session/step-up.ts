/**
 * Step-up: the user authenticates again at their provider, and the session goes on with all that was granted to it. By
 * the browser with a loopback port, or by a code that is typed on another machine.
 *
 * An attacker who begins a step-up and sends its address to the user must not get their own session proven by them. So
 * only this program, with the session's key and the one-time code that came to its loopback port, finishes one.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { STEP_UP_API } from '../../core/api/step-up-operations.ts';
import { AppError } from '../../core/errors.ts';
import { parseResponse } from '../commands/admin-response.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { requestOf } from '../http/call.ts';
import { stringAt, type JsonRecord } from '../http/json-shape.ts';
import { sendForOwnSessions, type OwnSessionsRequest } from '../http/own-sessions-api.ts';
import { hostOf, openableUrl } from '../http/server-url.ts';
import { plainText } from '../terminal/plain-text.ts';
import { showPage } from './browser.ts';
import { readSession, type CacheEntry } from './cache.ts';
import { refuseDelegated } from './delegated.ts';
import { withFileLock } from './file-lock.ts';
import { howOften, signInFreshly } from './fresh-sign-in.ts';
import { listenOnLoopback, type Callback } from './loopback.ts';
import { rejectionError } from './rejection.ts';

/** Time for passwords, second factors and fetching a phone. */
const BROWSER_MS = 5 * 60_000;
/** The lifetime of a code that is typed on another machine; the server ends it earlier if it likes. */
const DEVICE_MS = 30 * 60_000;
/** As for a sign-in: two browser tabs are worse than a wait. */
const LOCK = { staleMs: 30_000, timeoutMs: 10 * 60_000 };
/** Seconds between two polls. */
const INTERVAL = { shortest: 1, usual: 5, longest: 60 };

/** Characters of why a step-up was refused. */
const LONGEST_DETAIL = 2000;

const begunSchema = z.looseObject({
  id: z.string().regex(/^[\w-]{1,128}$/, 'it becomes part of an address'),
  url: z.string(),
  userCode: z.string().optional(),
  verificationUrl: z.string().optional(),
  interval: z.number().optional(),
});

const stateSchema = z.looseObject({ state: z.string() });

export interface StepUp {
  /** By a code that is typed on another machine. Absent: where no browser can be opened here. */
  readonly device?: boolean;
  /** A user reads the messages. */
  readonly attended: boolean;
}

interface Session {
  readonly context: CliContext;
  readonly entry: CacheEntry;
}

/**
 * Has the user authenticate again for the session of this machine.
 * @returns what the server says about it
 * @throws AppError `forbidden` in a delegated session, and where another user signs in; `sign_in_refused`,
 *   `sign_in_expired`, `unauthenticated`, `upstream_unavailable`
 */
export async function stepUp(context: CliContext, entry: CacheEntry, options: StepUp): Promise<JsonRecord> {
  refuseDelegated(context, entry.server, 'prove that its user is there');
  const session = { context, entry };
  const { device = readSession(entry)?.device === true || context.environment.remote } = options;
  if (device || context.environment.noBrowser) return byCode(session);
  return withFileLock<JsonRecord>({
    path: entry.signInLockPath,
    ...LOCK,
    whileWaiting: () => undefined,
    work: () => byBrowser(session, options.attended),
  });
}

/**
 * Has the user authenticate again because the server requires it: by step-up, which keeps the session and its grants; by a
 * new sign-in at a server that has no step-up.
 * @param problem the server's problem document
 * @param who must do so, for the message
 */
export async function proveFreshly(
  context: CliContext,
  entry: CacheEntry,
  problem: JsonRecord,
  who: string,
): Promise<void> {
  try {
    context.notify(`${who} must authenticate ${howOften(problem)}`);
    await stepUp(context, entry, { attended: context.attended });
  } catch (error) {
    const isOlder = error instanceof AppError && error.code === 'not_found' && error.reason !== 'step_up_unknown';
    if (!isOlder) throw error;
    await signInFreshly(context, entry, problem, who);
  }
}

async function byBrowser(session: Session, attended: boolean): Promise<JsonRecord> {
  const { context, entry } = session;
  const state = randomBytes(32).toString('base64url');
  const loopback = await listenOnLoopback({ state, issuer: entry.server.url, command: 'step-up' });
  const abandon = new AbortController();
  const timer = setTimeout(() => abandon.abort(tooLate(entry)), BROWSER_MS);
  let stopSpinner = (): void => undefined;
  let stopOpening = (): void => undefined;
  try {
    const body = await send(
      session,
      requestOf(STEP_UP_API, 'beginStepUp', { json: { redirect: loopback.redirectUri, state } }),
    );
    const begun = parseResponse(begunSchema, body);
    const url = ownPage(entry, begun.url);
    const page = { url, purpose: `to prove at ${hostOf(entry.server.url)} that it is you`, attended };
    stopOpening = showPage(context, page, (why) => {
      const next = `set $BROWSER to your browser's command, or use a code: ${again(entry, ' --device')}`;
      abandon.abort(cliError('unauthenticated', `No browser could be opened: ${why}.`, next));
    });
    stopSpinner = context.showProgress('waiting for you in the browser');
    return await finish(session, begun.id, await loopback.wait(abandon.signal));
  } finally {
    stopSpinner();
    stopOpening();
    clearTimeout(timer);
    await loopback.close();
  }
}

async function finish(session: Session, id: string, callback: Callback): Promise<JsonRecord> {
  const { server } = session.entry;
  try {
    const body = await send(
      session,
      requestOf(STEP_UP_API, 'finishStepUp', { params: { id }, json: { code: callback.code } }),
    );
    assertDone(session.entry, body);
    await callback.respond({ location: `${server.url}/step-up/done` });
    return body;
  } catch (error) {
    await callback.respond({ problem: error instanceof AppError ? error.message : 'The step-up failed.' });
    throw error;
  }
}

async function byCode(session: Session): Promise<JsonRecord> {
  const { context, entry } = session;
  const begun = parseResponse(begunSchema, await send(session, requestOf(STEP_UP_API, 'beginStepUp', { json: {} })));
  const { userCode, verificationUrl, interval = INTERVAL.usual } = begun;
  if (userCode === undefined || verificationUrl === undefined) {
    const next = `on a machine with a browser: ${again(entry)}`;
    throw cliError('forbidden', `${entry.server.url} does not offer this by a code.`, next, {
      reason: 'device_code_off',
    });
  }
  const page = ownPage(entry, verificationUrl);
  context.notify(
    `to prove that it is you, open this page in a browser on any machine:\n  ${page.href}\nand type this code:\n  ${plainText(userCode, 40)}`,
  );
  const stopSpinner = context.showProgress('waiting until you type the code');
  const pauseMs = Math.min(Math.max(interval, INTERVAL.shortest), INTERVAL.longest) * 1000;
  const end = context.nowMs() + DEVICE_MS;
  try {
    while (context.nowMs() < end) {
      await pause(pauseMs);
      const asked = requestOf(STEP_UP_API, 'getStepUp', { params: { id: begun.id } });
      const body = await send(session, asked).catch(unlessGone(entry));
      if (body === undefined || stringAt(body, 'state') === 'pending') continue;
      assertDone(entry, body);
      return body;
    }
  } finally {
    stopSpinner();
  }
  throw tooLate(entry);
}

/** A server that does not respond is polled again; one that does not know the step-up any more has ended it. */
const unlessGone =
  (entry: CacheEntry) =>
  (error: unknown): undefined => {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'not_found') throw tooLate(entry);
    if (error.code !== 'upstream_unavailable') throw error;
    return undefined;
  };

function assertDone(entry: CacheEntry, body: JsonRecord): void {
  const { state } = parseResponse(stateSchema, body);
  if (state === 'done') return;
  const detail = plainText(stringAt(body, 'detail') ?? '', LONGEST_DETAIL);
  const why = detail === '' ? '.' : `: ${detail}`;
  throw rejectionError(detail, `The step-up was refused${why}`, again(entry));
}

const NEXT_STEPS: ReadonlyMap<string, string> = new Map([
  ['device_code_off', 'on a machine with a browser: portcullis step-up'],
  ['freshness_unprovable', 'sign in with another identity provider: portcullis login'],
  ['other_account', 'sign in at your identity provider as the user of this session, then: portcullis step-up'],
]);

async function send({ context, entry }: Session, request: OwnSessionsRequest): Promise<JsonRecord> {
  return (await sendForOwnSessions(context, entry, request, { nextSteps: NEXT_STEPS })).body;
}

/**
 * An attacker who controls the response could name a page that steals credentials, and the user would open it in a
 * browser that holds sessions, so only the server's own pages are accepted.
 */
function ownPage({ server }: CacheEntry, text: string): URL {
  const url = openableUrl(text);
  if (url?.origin === new URL(server.url).origin) return url;
  const next = 'do not sign in there, and tell your platform team';
  throw cliError('forbidden', 'The server wants you to sign in at a page on another host.', next, {
    reason: 'discovery_refused',
  });
}

const again = ({ server }: CacheEntry, option = ''): string => `portcullis step-up${option} --server ${server.url}`;

const tooLate = (entry: CacheEntry): AppError =>
  cliError('sign_in_expired', 'You did not authenticate in time.', again(entry));
