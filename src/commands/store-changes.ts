/**
 * `revoke`, `lock` and `unlock` with `--config`: changes in the store itself. They need no sign-in, no admin and no running
 * replica, so they work where no admin can prove a fresh sign-in, and where an attacker with an admin's session has
 * locked every admin out. Anyone who can read the server's configuration and keys could write to its store anyway, so no
 * second admin is asked (`admin.dualControl`); this way it is audited, as by the user of the shell.
 */
import { randomUUID } from 'node:crypto';
import { hostname, uptime, userInfo } from 'node:os';
import { type RevocationRequest, createRevocationResults, planOf, revoke, scopeOf } from '../services/admin/admin.ts';
import { createAuditTrail, type AuditTrail } from '../audit/audit.ts';
import type { RevokeOnServer, UnlockOnServer } from '../cli/commands/admin-parser.ts';
import { pollUntilComplete, replicaLines, sendRevocation, type Polled } from '../cli/commands/revocation-progress.ts';
import { confirmRevocation, reasonOf, showReceipt, type Scope } from '../cli/commands/revocation-request.ts';
import type { CliContext } from '../cli/context.ts';
import { cliError } from '../cli/errors.ts';
import { nextStepFor } from '../cli/http/admin-problems.ts';
import type { Config } from '../config/config.ts';
import { checked } from '../core/api/issues.ts';
import { ADMIN, rejectionCode, rejectionText, type AdminResult } from '../core/api/rejections.ts';
import { revocationSchema } from '../core/api/requests.ts';
import { portcullisEvent } from '../core/audit/event.ts';
import { AppError } from '../core/errors.ts';
import type { RevocationTarget } from '../core/credential/revocation.ts';
import type { Account } from '../core/identity/identity.ts';
import { createRevocationGuard, type RevocationGuard } from '../revocation/revocation.ts';
import { auditKeysOf, openStore } from '../server/dependencies.ts';
import { createEndingReasons } from '../store/ending-reasons.ts';
import type { RevocationLog, Store } from '../store/store.ts';
import { createLogger, type Logger } from '../telemetry/telemetry.ts';
import { loadGiven, MISCONFIGURED, type Environment } from './given-config.ts';
import { patiently } from './patient-store.ts';
import { shellKeys, type ShellKeys } from './shell-keys.ts';

const FAILED = 1;

interface Opened {
  readonly config: Config;
  readonly store: Store;
  readonly audit: AuditTrail;
  readonly logger: Logger;
  readonly keys: ShellKeys;
}

/**
 * Opens the store and the audit log of a configuration, and closes them after the change. An audit log that cannot be
 * written does not prevent it: it must neither keep an attacker in nor a user out.
 * @returns exit status: that of the change; 1 where an audit event was lost, 2 for a configuration that is invalid or
 *   has no store of its own
 */
async function inStore(file: string, env: Environment, change: (opened: Opened) => Promise<number>): Promise<number> {
  const loaded = await loadGiven(file, env);
  if (loaded === undefined) return MISCONFIGURED;
  const { config } = loaded;
  if (config.store.kind === 'memory') {
    console.error('with `store.memory` sessions and locks are in the server itself: restart it to remove all of them');
    return MISCONFIGURED;
  }
  const logger = createLogger({ level: config.telemetry.logLevel });
  const key = (await auditKeysOf(config, logger))?.current;
  const keys = await shellKeys(config.keys.sealingDir);
  let lost = 0;
  const audit = createAuditTrail({
    chain: { replica: shellUser(), key },
    // The spool belongs to the running server: this process delivers immediately, or reports what is lost. And it
    // rejects no event.
    sinks: config.audit.sinks.map((sink) => {
      const { spoolDir: _spool, rejectedPath: _rejected, ...rest } = { spoolDir: '', rejectedPath: '', ...sink };
      return rest;
    }),
    onFailure: config.audit.onFailure,
    logger,
    metrics: { auditEvent: (_sink, outcome, events) => (lost += outcome === 'dropped' ? events : 0) },
  });
  const store = openStore(config, keys.sealing, logger);
  let status: number;
  try {
    status = await change({ config, store, audit, logger, keys });
  } finally {
    keys.stop();
    await audit.close();
    await store.close();
    // Through `kubectl exec` standard output is this terminal, which nothing collects.
    if (config.audit.sinks.every(({ type }) => type === 'stdout'))
      console.error('the audit event is only on this standard output: keep it');
    if (lost > 0) console.error(`the audit log could not be written: ${lost} event(s) are lost`);
  }
  return lost === 0 ? status : FAILED;
}

/** Returns the user of the shell, as far as the system knows; in a container a user may have no name. */
function shellUser(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}

// --- Unlock --------------------------------------------------------------------------------------------------------

/**
 * Removes a lock, or every lock.
 * @returns exit status: 0, 1 where it failed or there was no lock, 2 for wrong use
 */
export async function unlockOnServer(options: UnlockOnServer, env: Environment): Promise<number> {
  const { config, account, all, fresh } = options;
  if (all === true && fresh === true) {
    console.error('--fresh is for one account: name it, as PROVIDER/SUBJECT');
    return MISCONFIGURED;
  }
  if ((account === undefined) === (all === undefined) || account?.includes('/') === false) {
    console.error('give the account to unlock, as PROVIDER/SUBJECT, or --all');
    return MISCONFIGURED;
  }
  try {
    return await inStore(config, env, (opened) => unlockIn(opened, options));
  } catch (error) {
    console.error(`nothing more was unlocked: ${error instanceof Error ? error.message : String(error)}`);
    return FAILED;
  }
}

async function unlockIn({ store, audit }: Opened, { account, all, fresh, reason }: UnlockOnServer): Promise<number> {
  let removed = 0;
  const accounts =
    all === true ? (await patiently(() => store.locks.list())).map((lock) => lock.account) : [account as Account];
  const what = fresh === true ? FRESH_SIGN_IN : LOCK;
  for (const one of accounts) removed += (await removeBlock({ store, audit }, { account: one, reason, what })) ? 1 : 0;
  if (accounts.length === 0) console.error('no account is locked');
  return removed > 0 || all === true ? 0 : FAILED;
}

/** What keeps an account from signing in, and the messages about it. */
interface SignInBlock {
  readonly event: 'unlock' | 'fresh-sign-in-lifted';
  readonly isThere: (store: Store, account: Account) => Promise<boolean>;
  readonly take: (store: Store, account: Account) => Promise<boolean>;
  readonly missing: string;
  readonly messages: { readonly taken: string; readonly missing: string };
}

const LOCK: SignInBlock = {
  event: 'unlock',
  isThere: async ({ locks }, account) => (await locks.find(account)) !== undefined,
  take: ({ locks }, account) => locks.remove(account),
  missing: 'lock_not_found',
  messages: { taken: 'is unlocked', missing: 'was not locked' },
};

const FRESH_SIGN_IN: SignInBlock = {
  event: 'fresh-sign-in-lifted',
  isThere: async ({ freshSignIns }, account) => (await freshSignIns.find(account)) !== undefined,
  take: async ({ freshSignIns }, account) => (await freshSignIns.lift(account)) === 'lifted',
  missing: 'fresh_sign_in_not_needed',
  messages: { taken: 'can sign in without authenticating again', missing: 'needed no fresh sign-in' },
};

/** @returns whether it was removed, also by a try whose reply did not arrive */
async function taken(store: Store, account: Account, what: SignInBlock): Promise<boolean> {
  const wasThere = await patiently(() => what.isThere(store, account));
  let tries = 0;
  const removed = await patiently(() => {
    tries += 1;
    return what.take(store, account);
  });
  return removed || (wasThere && tries > 1);
}

/** Removed first: an audit log that cannot be written must not lock a user out. */
async function removeBlock(
  { store, audit }: Pick<Opened, 'store' | 'audit'>,
  request: { readonly account: Account; readonly reason: string | undefined; readonly what: SignInBlock },
): Promise<boolean> {
  const { account, reason = 'no reason given', what } = request;
  const removed = await taken(store, account, what);
  const details = { target: `account:${account}`, by: shellUser(), ...(removed ? {} : { outcome: what.missing }) };
  audit.record(
    portcullisEvent({
      event: what.event,
      auditId: randomUUID(),
      at: Date.now(),
      requestUri: '',
      sourceIps: [],
      code: removed ? 200 : 404,
      reason,
      details,
    }),
  );
  console.error(`${account} ${removed ? what.messages.taken : what.messages.missing}`);
  return removed;
}

// --- Revoke and lock -----------------------------------------------------------------------------------------------

/**
 * Revokes, with a lock where one is asked for, and follows it to its proof as an admin's command does.
 * @returns exit status: 0 proven, 1 where an audit event was lost, 2 for the configuration
 * @throws AppError `bad_request` for wrong use; `not_found`, `conflict` as the admin API; `store_unavailable` where it
 *   could not be written; `conflict` (`revocation_not_proven`) where it is written and not proven in time
 */
export async function revokeOnServer(context: CliContext, options: RevokeOnServer, env: Environment): Promise<number> {
  const request = requestOf(options);
  const shown = options.output === undefined ? onStderr(context) : context;
  return inStore(options.config, env, async (opened) => {
    await revokeIn(opened, shown, { request, options });
    return 0;
  });
}

/** Leaves standard output to the audit events of a `stdout` sink, which an operator redirects to a file. */
function onStderr({ columns: _columns, ...context }: CliContext): CliContext {
  const terminal = process.stderr.isTTY ? { columns: process.stderr.columns || 80 } : {};
  return { ...context, ...terminal, print: (text) => void process.stderr.write(text) };
}

function requestOf({ target, approval, force, ...options }: RevokeOnServer): RevocationRequest {
  if (approval !== undefined) {
    const next = 'leave --approval out: with --config no second admin is asked';
    throw cliError('bad_request', 'An approval is for the admin API.', next);
  }
  const given = { ...target, ...(force && { force }), reason: reasonOf(options), requestId: randomUUID() };
  const request = checked(revocationSchema, given);
  if (request.ok) return request.value;
  throw cliError('bad_request', `This cannot be revoked: ${request.reason}.`, 'portcullis revoke --help');
}

async function revokeIn(
  { config, store, audit, logger, keys }: Opened,
  context: CliContext,
  { request, options }: { readonly request: RevocationRequest; readonly options: RevokeOnServer },
): Promise<void> {
  const { target } = options;
  // What follows takes an unavailable store for a reason not to check a name: here no replica would reject it meanwhile.
  await patiently(() => store.ping());
  const providers = new Map(
    config.providers.map(({ name, freshness }) => [name, { provesFreshness: freshness !== 'none' }]),
  );
  const known = { config, store, providers };
  const plan = asCommand(await patiently(() => planOf(known, request)));
  const readScope = () => patiently(() => scopeHere(store, plan.target));
  await confirmRevocation(context, { target, options, readScope });
  const shell = { shellUser: shellUser(), context: { requestId: randomUUID(), address: '', userAgent: '' }, path: '' };
  const guard = observer({ config, store, logger, keys, name: shell.shellUser });
  const endings = createEndingReasons(store.artefacts, Date.now);
  const deps = { guard, store, audit, logger, endings, clock: { nowMs: Date.now } };
  const results = createRevocationResults(deps);
  const id = plan.requestId ?? randomUUID();
  const isInterrupted = endsWaiting(context);
  const poll = async (): Promise<Polled> => (isInterrupted() ? 'refused' : ((await results.find(id)) ?? 'unknown'));
  const tracked = { context, report: replicaLines(context), poll };
  // The revocation is written whether this process gets a lease or not. Without one it proves nothing.
  void guard.start();
  try {
    if (plan.lock) await keys.known();
    const first = await sendRevocation(tracked, id, async () =>
      asCommand(await revoke({ deps, results }, shell, { ...plan, requestId: id }, { fingerprint: id })),
    );
    const receipt = first.complete ? first : await pollUntilComplete(tracked, first);
    const latest = guard.result(id);
    if (!first.complete && latest !== undefined) await results.keep(latest);
    const again = 'run the same command again';
    if (receipt.complete && receipt.replicas.length === 0) context.notify('no replica is running now');
    await showReceipt(context, options, receipt, { target, again });
  } finally {
    await guard.stop();
  }
}

/** Returns what a revocation would end. This process serves nothing, so it knows of no request. */
async function scopeHere(store: Store, target: RevocationTarget): Promise<Scope> {
  const guard = { sessionsInFlight: () => [] };
  const { sessions, delegated, users, more, known } = await scopeOf({ store, guard }, target);
  return { sessions, delegated, users, more, known };
}

/** Returns a revocation guard that follows the log and sees the replicas, with nothing in flight itself. */
function observer({
  config,
  store,
  logger,
  keys,
  name,
}: Omit<Opened, 'audit'> & { readonly name: string }): RevocationGuard {
  return createRevocationGuard({
    log: patientLog(store.log),
    sessions: store.sessions,
    stalenessSeconds: config.revocation.staleness,
    longestTokenSeconds: config.sessions.accessToken,
    replicaName: name,
    servesNothing: true,
    keys: keys.ofReplicas,
    monotonicMs: () => performance.now(),
    clock: { nowMs: Date.now },
    uptimeMs: () => uptime() * 1000,
    logger,
  });
}

/** A revocation is written again where no reply came: the same request id is written once. */
const patientLog = (log: RevocationLog): RevocationLog => ({
  get settled() {
    return log.settled;
  },
  position: () => log.position(),
  join: (longestTokenSeconds) => log.join(longestTokenSeconds),
  renew: (state, position) => log.renew(state, position),
  leave: (incarnation, count) => log.leave(incarnation, count),
  append: (request) => patiently(() => log.append(request)),
  hasWritten: (request) => log.hasWritten(request),
  announceDrill: (id) => log.announceDrill(id),
  waitForEntry: (number, signal) => log.waitForEntry(number, signal),
});

/** Returns what the admin service did. What it rejected gets the next step that an admin's command names. */
function asCommand<T>(result: AdminResult<T>): T {
  if (result.ok) return result.value;
  const { reason, cause } = result.reason;
  const [code, message] = [rejectionCode(ADMIN, result.reason), rejectionText(ADMIN.texts, result.reason)];
  if (reason !== 'revocation_not_written') throw cliError(code, message, nextStepFor(reason), { reason, cause });
  // The error of the guard has that of the store.
  const why = cause instanceof Error && cause.cause instanceof AppError ? ` ${cause.cause.message}` : '';
  const next = 'portcullis store check --config FILE says what is wrong; then run it again';
  throw cliError(code, `The revocation could not be written, so nothing is guaranteed.${why}`, next, { reason, cause });
}

/**
 * Makes Ctrl-C, and the end of the terminal, end the waiting alone, for as long as this process runs: a revocation would
 * be in force and in no audit log.
 * @returns whether one of them came
 */
function endsWaiting(context: CliContext): () => boolean {
  let over = false;
  const end = (): void => {
    if (!over) context.notify('stopping, once the audit event is written');
    over = true;
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, end);
  return () => over;
}
