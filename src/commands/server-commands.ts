/**
 * Commands: what an operator types on a server's own shell: `serve`, `config check|probe`, `store check`, `keys`,
 * `audit verify|query|anchors`, `unlock --config`.
 *
 * Owns: their messages and exit statuses. Must not know: how the server serves (module `server` does), or anything
 * of a user's machine.
 *
 * The files of this folder:
 * - `server-parser.ts`, `server-commands.ts`: the parser; `serve` and `unlock --config`.
 * - `config-commands.ts`, `claims-check.ts`, `provider-probe.ts`: `config check`, its `--claims`, `config probe`.
 * - `store-check.ts`: `store check`.
 * - `given-config.ts`: the configuration that a command is given. `patient-store.ts`: the store that it waits for.
 * - `key-commands.ts`, `key-secrets.ts`, `cluster-api.ts`: keys in folders and in Secrets.
 * - `audit-commands.ts`, `audit-query.ts`: `audit verify`, `audit anchors`, `audit query`.
 */
import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { isatty } from 'node:tty';
import manifest from '../../package.json' with { type: 'json' };
import { createAuditTrail, type AuditTrail } from '../audit/audit.ts';
import { loadGiven, MISCONFIGURED, readGiven, type Environment } from './given-config.ts';
import type { UnlockOnServer } from '../cli/commands/admin-parser.ts';
import type { Config } from '../config/config.ts';
import { followFiles } from '../config/followed-files.ts';
import { loadSealingKeys } from '../config/keys.ts';
import { portcullisEvent } from '../core/audit/event.ts';
import type { Account } from '../core/identity/identity.ts';
import { patiently } from './patient-store.ts';
import { auditKeysOf, openStore } from '../server/dependencies.ts';
import type { Store } from '../store/store.ts';
import { createLogger, type Logger } from '../telemetry/telemetry.ts';

const FAILED = 1;

/** Runs until SIGTERM, SIGINT or the end of its terminal, then drains. @returns exit status */
export async function serve(file: string | undefined, env: Environment): Promise<number> {
  const loaded = await readGiven(file, env);
  if (loaded === undefined) return MISCONFIGURED;
  const { config, warnings } = loaded;
  // Kubernetes sets it to the pod's name, also where the pod has the network, and so the name, of its node.
  const replica = env['HOSTNAME'] || hostname();
  const logger = createLogger({ level: config.telemetry.logLevel });
  logger.info({ version: manifest.version, configuration: loaded.file ?? 'environment', replica }, 'starting');
  // Whatever is logged otherwise: each weak setting is named at each start.
  const warner = createLogger({ level: 'warn' });
  for (const { setting, message } of warnings) warner.warn({ setting }, message);
  const { startServer } = await import('../server/serve.ts');
  const server = await startServer(config, replica).catch((error: unknown) => {
    console.error(`portcullis cannot start: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  });
  if (server === undefined) return FAILED;
  const unfollow = warnOfChanges(loaded.file, logger);
  const signal = await stopSignal(logger);
  unfollow();
  const since = performance.now();
  logger.info({ signal }, 'signal received');
  await server.stop();
  logger.info({ seconds: Math.round((performance.now() - since) / 100) / 10, replica }, 'stopped');
  return 0;
}

/** A terminal that sends SIGHUP first has closed by then. */
const CLOSING_MS = 1000;

/**
 * Returns the signal that stops the server. SIGHUP does where the terminal that it was started in closes, which may send
 * it twice. It does not where an operator, `ExecReload` or logrotate sends it to reload: nothing here needs that, and it
 * would cut every stream.
 */
function stopSignal(logger: Pick<Logger, 'warn'>): Promise<NodeJS.Signals> {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  // A terminal that has closed is none any more.
  const hasClosed = (): boolean => terminals.length > 0 && !terminals.some((descriptor) => isatty(descriptor));
  return new Promise((resolve) => {
    for (const one of ['SIGTERM', 'SIGINT'] as const) process.once(one, resolve);
    process.on('SIGHUP', (signal) => {
      if (hasClosed()) return resolve(signal);
      logger.warn({ signal }, 'a signal to reload was ignored; restart this replica to use another configuration');
      // xterm, screen and a shell that is ended send the only one before the terminal closes.
      setTimeout(() => hasClosed() && resolve(signal), CLOSING_MS).unref();
    });
  });
}

/**
 * Warns when the configuration file changes, because it is read at the start only.
 * @returns a function that stops it
 */
function warnOfChanges(file: string | undefined, logger: Pick<Logger, 'warn'>): () => void {
  const warn = (): void =>
    logger.warn({ configuration: file }, 'the configuration file has changed; restart this replica to use it');
  return followFiles({ paths: file === undefined ? [] : [file], apply: warn, onError: warn });
}

/**
 * Removes a lock, or every lock, in the store itself. It needs no sign-in, no admin and no running replica, so that
 * an attacker with an admin's session cannot lock everyone out permanently. Anyone who can read the server's
 * configuration and keys could remove a lock anyway; this way it is audited.
 * @returns exit status: 0, 1 where it failed or there was no lock, 2 for wrong use
 */
export async function unlockOnServer(options: UnlockOnServer, env: Environment): Promise<number> {
  const { account, all, fresh } = options;
  if (all === true && fresh === true) {
    console.error('--fresh is for one account: name it, as PROVIDER/SUBJECT');
    return MISCONFIGURED;
  }
  if ((account === undefined) === (all === undefined) || account?.includes('/') === false) {
    console.error('give the account to unlock, as PROVIDER/SUBJECT, or --all');
    return MISCONFIGURED;
  }
  const loaded = await loadGiven(options.config, env);
  if (loaded === undefined) return MISCONFIGURED;
  const { config } = loaded;
  if (config.store.kind === 'memory') {
    console.error('with `store.memory` the locks are in the server itself: restart it to remove them');
    return MISCONFIGURED;
  }
  try {
    return await unlockIn(config, options);
  } catch (error) {
    console.error(`nothing more was unlocked: ${error instanceof Error ? error.message : String(error)}`);
    return FAILED;
  }
}

async function unlockIn(config: Config, { account, all, fresh, reason }: UnlockOnServer): Promise<number> {
  const logger = createLogger({ level: config.telemetry.logLevel });
  let lost = 0;
  const key = (await auditKeysOf(config, logger))?.current;
  const audit = createAuditTrail({
    chain: { replica: shellUser(), key },
    // The spool belongs to the running server: this process delivers immediately, or reports what is lost. And it
    // rejects no event.
    sinks: config.audit.sinks.map((sink) =>
      sink.type === 'stdout' ? sink : { ...sink, spoolDir: undefined, rejectedPath: undefined },
    ),
    onFailure: config.audit.onFailure,
    logger,
    metrics: { auditEvent: (_sink, outcome, events) => (lost += outcome === 'dropped' ? events : 0) },
  });
  const store = openStore(config, await loadSealingKeys(config.keys.sealingDir), logger);
  let removed = 0;
  try {
    const accounts =
      all === true ? (await patiently(() => store.locks.list())).map((lock) => lock.account) : [account as Account];
    const what = fresh === true ? FRESH_SIGN_IN : LOCK;
    for (const one of accounts)
      removed += (await removeBlock({ store, audit }, { account: one, reason, what })) ? 1 : 0;
    if (accounts.length === 0) console.error('no account is locked');
  } finally {
    await audit.close();
    await store.close();
  }
  // Through `kubectl exec` standard output is this terminal, which nothing collects.
  if (config.audit.sinks.every(({ type }) => type === 'stdout'))
    console.error('the audit event is only on this standard output: keep it');
  if (lost > 0) console.error(`the audit log could not be written: ${lost} event(s) are lost`);
  return lost === 0 && (removed > 0 || all === true) ? 0 : FAILED;
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
  { store, audit }: { readonly store: Store; readonly audit: AuditTrail },
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

/** Returns the user of the shell, as far as the system knows; in a container a user may have no name. */
function shellUser(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}
