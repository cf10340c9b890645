/**
 * Commands: what an operator types on a server's own shell: `serve`, `config check|probe`, `keys`, `audit
 * verify|query|anchors`, `unlock --config`.
 *
 * Owns: their messages and exit statuses. Must not know: how the server serves (module `server` does), or anything
 * of a user's machine.
 *
 * The files of this folder:
 * - `server-parser.ts`, `server-commands.ts`: the parser; `serve`, `config` and `unlock --config`.
 * - `claims-check.ts`, `provider-probe.ts`: `config check --claims`, `config probe`.
 * - `key-commands.ts`, `key-secrets.ts`, `cluster-api.ts`: keys in folders and in Secrets.
 * - `audit-commands.ts`, `audit-query.ts`: `audit verify`, `audit anchors`, `audit query`.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { createAuditTrail, type AuditTrail } from '../audit/audit.ts';
import { formatVerdict, judgeClaims, readClaims } from './claims-check.ts';
import { formatReport, isHopeless, probe, probeJson } from './provider-probe.ts';
import type { UnlockOnServer } from '../cli/commands/admin-parser.ts';
import { plainJson } from '../cli/terminal/plain-text.ts';
import type { Config } from '../config/config.ts';
import { loadSealingKeys } from '../config/keys.ts';
import { formatErrors, loadConfig, type LoadedConfig } from '../config/load.ts';
import { portcullisEvent } from '../core/audit/event.ts';
import type { Account } from '../core/identity/identity.ts';
import { auditKeysOf, openStore } from '../server/dependencies.ts';
import { startServer } from '../server/serve.ts';
import type { Store } from '../store/store.ts';
import { createLogger } from '../telemetry/telemetry.ts';

/** Wrong use or configuration (docs/reference/cli.md#exit-codes). */
const MISCONFIGURED = 2;
const FAILED = 1;
const REJECTED = 3;

export type Environment = Readonly<Record<string, string | undefined>>;

async function load(file: string | undefined, env: Environment): Promise<LoadedConfig | undefined> {
  const loaded = await loadConfig({ ...(file === undefined ? {} : { file }), env });
  if (!loaded.ok) {
    console.error(formatErrors(loaded.reason));
    return undefined;
  }
  for (const warning of loaded.value.warnings) console.error(`warning: ${warning}`);
  return loaded.value;
}

/** Runs until SIGTERM or SIGINT, then drains. @returns exit status */
export async function serve(file: string | undefined, env: Environment): Promise<number> {
  const loaded = await load(file, env);
  if (loaded === undefined) return MISCONFIGURED;
  // Kubernetes sets it to the pod's name, also where the pod has the network, and so the name, of its node.
  const server = await startServer(loaded.config, env['HOSTNAME'] || undefined).catch((error: unknown) => {
    console.error(`portcullis cannot start: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  });
  if (server === undefined) return FAILED;
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await server.stop();
  return 0;
}

/** The options of `config check`. */
export interface CheckOptions {
  readonly config?: string;
  /** A file of claims, `-` for standard input. */
  readonly claims?: string;
  /** The provider or workload rule of the claims. */
  readonly provider?: string;
  readonly output?: string;
}

/**
 * @returns exit status: 0, 2 with every validation error on standard error, or 3 where the given claims are
 *   rejected
 */
export async function checkConfig(options: CheckOptions, env: Environment): Promise<number> {
  const loaded = await load(options.config, env);
  if (loaded === undefined) return MISCONFIGURED;
  const { config } = loaded;
  if (options.claims !== undefined) return checkClaims(config, { ...options, claims: options.claims });
  if (options.provider !== undefined) {
    console.error(
      '--provider names the provider of the claims and needs --claims FILE. To check the provider itself: portcullis config probe',
    );
    return MISCONFIGURED;
  }
  const facts = { providers: config.providers.length, clusters: config.clusters.length, store: config.store.kind };
  const message = `valid: ${facts.providers} provider(s), ${facts.clusters} cluster(s), store ${facts.store}`;
  console.log(options.output === 'json' ? plainJson(facts) : message);
  return 0;
}

async function checkClaims(
  config: Config,
  { claims: file, provider, output }: CheckOptions & { readonly claims: string },
): Promise<number> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  const claims = await readClaims(input).catch((error: unknown) => {
    console.error(`--claims: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (claims === undefined) return MISCONFIGURED;
  if (!claims.ok) {
    console.error(`--claims ${file} is ${claims.reason}`);
    return MISCONFIGURED;
  }
  const verdict = judgeClaims(config, provider, claims.value);
  if (!verdict.ok) {
    console.error(verdict.reason);
    return MISCONFIGURED;
  }
  console.log(output === 'json' ? plainJson(verdict.value) : formatVerdict(verdict.value));
  return verdict.value.allowed ? 0 : REJECTED;
}

/** The options of `config probe`. */
export type ProbeOptions = Pick<CheckOptions, 'config' | 'provider' | 'output'>;

/**
 * @returns exit status: 0, 1 where something that a sign-in needs will not work, or 2 for wrong use or
 *   configuration
 */
export async function probeConfig(options: ProbeOptions, env: Environment): Promise<number> {
  const loaded = await load(options.config, env);
  if (loaded === undefined) return MISCONFIGURED;
  const report = await probe(loaded.config, options.provider).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
  });
  if (report === undefined) return MISCONFIGURED;
  if (!report.ok) {
    console.error(report.reason);
    return MISCONFIGURED;
  }
  console.log(options.output === 'json' ? probeJson(report.value) : formatReport(report.value));
  return isHopeless(report.value) ? FAILED : 0;
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
  const loaded = await load(options.config, env);
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
    const accounts = all === true ? (await store.locks.list()).map((lock) => lock.account) : [account as Account];
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
  readonly take: (store: Store, account: Account) => Promise<boolean>;
  readonly missing: string;
  readonly messages: { readonly taken: string; readonly missing: string };
}

const LOCK: SignInBlock = {
  event: 'unlock',
  take: ({ locks }, account) => locks.remove(account),
  missing: 'lock_not_found',
  messages: { taken: 'is unlocked', missing: 'was not locked' },
};

const FRESH_SIGN_IN: SignInBlock = {
  event: 'fresh-sign-in-lifted',
  take: async ({ freshSignIns }, account) => (await freshSignIns.lift(account)) === 'lifted',
  missing: 'fresh_sign_in_not_needed',
  messages: { taken: 'can sign in without authenticating again', missing: 'needed no fresh sign-in' },
};

/** Removed first: an audit log that cannot be written must not lock a user out. */
async function removeBlock(
  { store, audit }: { readonly store: Store; readonly audit: AuditTrail },
  request: { readonly account: Account; readonly reason: string | undefined; readonly what: SignInBlock },
): Promise<boolean> {
  const { account, reason = 'no reason given', what } = request;
  const removed = await what.take(store, account);
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
