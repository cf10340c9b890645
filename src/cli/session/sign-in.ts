/**
 * Sign-in by the browser: authorization code with PKCE on a loopback port (RFC 8252, RFC 7636, RFC 9207), or by a
 * code that is typed on another machine (`device-sign-in.ts`); then a session with its own key pair.
 *
 * Only one browser tab is open at a time: a separate lock is held while the browser is open. The cache's lock is
 * not held, so commands that need no sign-in continue. A process that waits gets the other's session, or fails with
 * the other's error.
 */
import { createHash, randomBytes } from 'node:crypto';
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { showPage } from './browser.ts';
import {
  ensureEntry,
  readPins,
  readSession,
  readStoredSession,
  writePins,
  writeSession,
  type CacheEntry,
  type Pins,
} from './cache.ts';
import { refuseDelegated } from './delegated.ts';
import { deviceNameParameter, type DeviceNameParameter } from './device-name.ts';
import { discover, type Discovery } from './discovery.ts';
import { failureSince, forgetFailures, shareFailure } from '../plugin/failures.ts';
import { cliError } from '../errors.ts';
import { withFileLock } from './file-lock.ts';
import type { CliContext } from '../context.ts';
import { listenOnLoopback, type Loopback } from './loopback.ts';
import { assertDiskSpace, removeOldDrafts } from './private-files.ts';
import { withTokenResponse } from './renewal.ts';
import { hostOf } from '../http/server-url.ts';
import type { CredentialStore } from './credential-store.ts';
import { checkStore, chosenStore, forgetSecrets, storeSecrets, type OpenSession } from './secrets.ts';
import type { CachedSession } from './session.ts';
import { redeemCode } from './token-endpoint.ts';
import { defined } from '../../core/defined.ts';

/**
 * Two browser tabs are worse than a wait: twenty kubectls at once on a busy machine keep the holder from renewing
 * for many seconds.
 */
const SIGN_IN_STALE_MS = 30_000;
/** Time for passwords, second factors and fetching a phone. */
const SIGN_IN_MS = 5 * 60_000;
/** The lifetime of a code that is typed on another machine. */
const DEVICE_MS = 10 * 60_000;
/** More than a session with some tokens takes. */
const SESSION_BYTES = 32 * 1024;

export interface SignIn {
  readonly entry: CacheEntry;
  /** The identity provider to use; absent: the server asks. */
  readonly provider?: string;
  /** Id of the session that must be replaced: any other session that appears in the cache is the result. */
  readonly previous?: string;
  /** Whether to keep waiting when no browser could be started: a user reads the terminal and can open the address. */
  readonly attended: boolean;
  /**
   * Sign in only by a code that is typed on another machine. Absent: by a code where this machine is reached over
   * SSH and the server issues codes.
   */
  readonly device?: boolean;
  /** A fresh sign-in is required: no single sign-on. A sign-in by a code always is one. */
  readonly fresh?: true;
  /** Where to keep the session, by an option; absent: as it was chosen before. */
  readonly store?: CredentialStore;
}

/** Signs in. @throws AppError with a message for the user */
export async function signIn(context: CliContext, request: SignIn): Promise<CachedSession> {
  const { entry } = request;
  refuseDelegated(context, entry.server, 'sign a user in');
  ensureEntry(entry);
  const since = context.nowMs();
  let reported = false;
  const settled = (): CachedSession | undefined => {
    const session = readSession(entry);
    if (session !== undefined && session.user.sessionId !== request.previous) return session;
    const failure = failureSince(entry, 'sign-in', since, context.nowMs());
    if (failure !== undefined) throw failure;
    return undefined;
  };
  return withFileLock({
    path: entry.signInLockPath,
    staleMs: SIGN_IN_STALE_MS,
    timeoutMs: DEVICE_MS + 30_000,
    whileWaiting: () => {
      if (!reported) context.notify('another sign-in is in progress; waiting for it');
      reported = true;
      return settled();
    },
    work: async () => settled() ?? (await signInOnce(context, request, reported)),
  }).catch((error: unknown) => {
    throw error instanceof AppError && error.code === 'upstream_timeout' ? tooLong(entry) : error;
  });
}

/** @param waited whether another sign-in was waited for and ended without a result, because its command was stopped */
async function signInOnce(context: CliContext, request: SignIn, waited: boolean): Promise<CachedSession> {
  const { entry } = request;
  if (waited) context.notify('the other sign-in was stopped; signing in here');
  try {
    // A user who has typed a password and a second factor must not learn only then that the session does not fit on
    // the disk.
    assertDiskSpace(entry.dir, SESSION_BYTES);
    const store = chosenStore(context, entry, request.store);
    await checkStore(context, entry, store);
    const discovery = await discover(entry, readPins(entry));
    const remote = context.environment.remote && discovery.deviceAuthorizationEndpoint !== undefined;
    const named = deviceNameParameter(context, entry.server);
    const session =
      request.device === true || remote
        ? await (await import('./device-sign-in.ts')).signInByDevice(context, entry, discovery, named)
        : await signInByBrowser(context, request, discovery, named);
    await saveSession(context, entry, { session, pins: discovery.pins, store });
    return session;
  } catch (error) {
    if (error instanceof AppError) shareFailure(entry, 'sign-in', error, context.nowMs());
    throw error;
  }
}

function saveSession(
  context: CliContext,
  entry: CacheEntry,
  { session, pins, store }: { readonly session: OpenSession; readonly pins: Pins; readonly store: CredentialStore },
): Promise<true> {
  return withFileLock<true>({
    path: entry.lockPath,
    timeoutMs: 60_000,
    whileWaiting: () => undefined,
    work: async () => {
      const before = readStoredSession(entry);
      // Not where there was none: anyone who chose the file is asked for no password of a keyring.
      const leftInKeyring = store === 'file' && before !== undefined && before.refreshToken === undefined;
      const cached = await storeSecrets(context, entry, session, store);
      writePins(entry, pins);
      writeSession(entry, cached);
      forgetFailures(entry);
      removeOldDrafts(entry.dir, Date.now());
      if (leftInKeyring) await forgetSecrets(context, entry);
      return true;
    },
  });
}

async function signInByBrowser(
  context: CliContext,
  request: SignIn,
  discovery: Discovery,
  named: DeviceNameParameter,
): Promise<OpenSession> {
  const state = randomBytes(32).toString('base64url');
  const codeVerifier = randomBytes(32).toString('base64url');
  const loopback = await listenOnLoopback({ state, issuer: discovery.issuer });
  const abandon = new AbortController();
  const timer = setTimeout(() => abandon.abort(timedOut(request.entry)), SIGN_IN_MS);
  let stopSpinner = (): void => undefined;
  let stopOpening = (): void => undefined;
  try {
    const { provider, fresh } = request;
    const url = authorizationUrl(discovery, { state, codeVerifier, loopback, provider, fresh, named });
    stopOpening = open(context, request, url, abandon);
    stopSpinner = context.showProgress('waiting for your sign-in in the browser');
    return await redeem(context, { request, discovery, loopback, codeVerifier, signal: abandon.signal });
  } finally {
    stopSpinner();
    stopOpening();
    clearTimeout(timer);
    await loopback.close();
  }
}

function authorizationUrl(
  discovery: Discovery,
  parts: {
    state: string;
    codeVerifier: string;
    loopback: Loopback;
    provider: string | undefined;
    fresh: true | undefined;
    named: DeviceNameParameter;
  },
): URL {
  const url = new URL(discovery.authorizationEndpoint);
  const query = {
    client_id: PLUGIN_CLIENT_ID,
    response_type: 'code',
    redirect_uri: parts.loopback.redirectUri,
    scope: 'kubernetes',
    state: parts.state,
    code_challenge: createHash('sha256').update(parts.codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...defined({ provider: parts.provider }),
    // OpenID Connect Core §3.1.2.1: the server passes it on to the provider; `max_age` is for clients that request
    // an ID token.
    ...(parts.fresh === true ? { prompt: 'login' } : {}),
    ...parts.named,
  };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

function open(context: CliContext, request: SignIn, url: URL, abandon: AbortController): () => void {
  const server = request.entry.server.url;
  const page = { url, purpose: `to sign in at ${hostOf(server)}`, attended: request.attended };
  return showPage(context, page, (why) => {
    const next = `set $BROWSER to your browser's command, or sign in first: portcullis login --server ${server} (with --device where there is no browser)`;
    abandon.abort(cliError('unauthenticated', `No browser could be opened to sign in: ${why}.`, next));
  });
}

async function redeem(
  context: CliContext,
  route: { request: SignIn; discovery: Discovery; loopback: Loopback; codeVerifier: string; signal: AbortSignal },
): Promise<OpenSession> {
  const server = route.request.entry.server.url;
  const callbackReceived = route.loopback.wait(route.signal);
  // The key pair is generated while the user types; its library is the slowest to load.
  const { createBinding } = await import('./binding.ts');
  const binding = await createBinding(context.nowMs());
  const callback = await callbackReceived;
  try {
    const { endpoints } = route.discovery;
    const { redirectUri } = route.loopback;
    const code = { code: callback.code, codeVerifier: route.codeVerifier, redirectUri };
    const response = await redeemCode({ server, endpoints, binding }, code);
    const { user, refreshToken } = response;
    if (user === undefined || refreshToken === undefined) {
      throw cliError('upstream_unavailable', `${server} sent no user for this sign-in.`, 'tell your platform team');
    }
    const empty = { server, endpoints, user, refreshToken, binding, tokens: {} };
    await callback.respond({ location: `${server}/login/done` });
    return withTokenResponse(empty, response, undefined, context.nowMs());
  } catch (error) {
    await callback.respond({ problem: error instanceof AppError ? error.message : 'The sign-in failed.' });
    throw error;
  }
}

function timedOut(entry: CacheEntry): AppError {
  const next = `portcullis login --server ${entry.server.url}`;
  return cliError('sign_in_expired', 'The sign-in in the browser was not completed within 5 minutes.', next);
}

function tooLong(entry: CacheEntry): AppError {
  const next = `complete the sign-in that is open in the browser, or stop its command and: portcullis login --server ${entry.server.url}`;
  return cliError('upstream_timeout', 'Another command has been waiting for a sign-in for too long.', next);
}
