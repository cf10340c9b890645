/** `delegate`: a narrower session of one's own for a command, or in a kubeconfig for another user or container. */
import { X509Certificate } from 'node:crypto';
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { DELEGATIONS_API } from '../../core/api/delegations-operations.ts';
import { certificateThumbprint } from '../../core/credential/thumbprint.ts';
import { AppError } from '../../core/errors.ts';
import type { RightsLimit } from '../../core/delegation/rights.ts';
import { chooseClusters } from '../delegation/cluster-choice.ts';
import { actorName, limitOf, mayReadSecrets, type LimitOptions } from '../delegation/requested.ts';
import { createdDelegationSchema, type DelegationItem } from '../delegation/responses.ts';
import { checkRules } from '../delegation/rules-check.ts';
import { SignalRelay } from '../delegation/run-command.ts';
import {
  checkDestination,
  fillTemporaryFolder,
  temporaryFolder,
  writeDestination,
  type NewChild,
  type Destination,
} from '../delegation/session-folder.ts';
import { delegatedEnvironment } from '../environment.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { requestOf } from '../http/call.ts';
import { ownSession, sendForOwnSessions } from '../http/own-sessions-api.ts';
import { readKubeconfig } from '../kubeconfig/kubeconfig-file.ts';
import { createBinding } from '../session/binding.ts';
import { locateEntry, type CacheEntry } from '../session/cache.ts';
import { openCluster } from '../session/cluster-api.ts';
import { isTokenText, parseClusters, type CachedSession } from '../session/session.ts';
import { revokeRefreshToken } from '../session/token-endpoint.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { fromNow, parseDuration } from '../terminal/time.ts';
import { parseResponse } from './admin-response.ts';

export interface DelegateOptions extends ServerOptions, OutputOptions, LimitOptions {
  readonly cluster?: readonly string[];
  readonly for: string;
  readonly name?: string;
  readonly kubeconfig?: string;
  readonly force?: true;
  readonly command: string;
}

interface Requested {
  readonly name: string;
  readonly clusters: readonly string[];
  readonly limit: RightsLimit;
  readonly seconds: number;
  readonly command: string;
}

/**
 * Makes the session. With a command, runs it and ends the session with it; `process.exitCode` is the command's then.
 * @param command what is to run; empty: writes `options.kubeconfig`
 */
export async function delegate(
  context: CliContext,
  command: readonly string[],
  options: DelegateOptions,
): Promise<void> {
  const { file, destination } = destinationOf(command, options);
  const limit = limitOf(options);
  const seconds = parseDuration(options.for);
  const name = actorName(options.name, file);
  const program = programOf(options.command);
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const { session } = await ownSession(context, entry);
  const clusters = chooseClusters({
    given: options.cluster,
    usable: session.user.clusters.map((cluster) => cluster.name),
    server: server.url,
    kubeconfigs: context.environment.kubeconfigs.map((path) => readKubeconfig(resolve(path))),
  });
  const open = async (cluster: string) => (await openCluster(context, entry, cluster)).api;
  const warnings = limit.rules === undefined ? [] : await checkRules(limit.rules, clusters, open);
  for (const warning of warnings) context.notify(warning);
  const requested = { name, clusters, limit, seconds, command: program };
  if (destination === undefined) await runWith(context, entry, requested, command);
  else await keepAt(context, entry, requested, { destination, options });
}

/** @returns the program or kubeconfig whose name the session may have */
function destinationOf(
  command: readonly string[],
  { kubeconfig, force, output }: DelegateOptions,
): { readonly file: string; readonly destination?: Destination } {
  const [program] = command;
  if ((program === undefined) === (kubeconfig === undefined)) {
    const next = 'give either a command after --, or --kubeconfig FILE';
    throw cliError('bad_request', 'A delegated session is for one command or for one kubeconfig.', next);
  }
  if (kubeconfig !== undefined) {
    const file = resolve(kubeconfig);
    return { file, destination: checkDestination(file, force === true) };
  }
  if (output !== undefined || force !== undefined) {
    throw cliError(
      'bad_request',
      '--output and --force go with --kubeconfig: stdout is the command’s.',
      'leave it out',
    );
  }
  return { file: program ?? '' };
}

/**
 * Returns what kubectl is to run. A path stays what it is from another folder; a bare name is looked up where kubectl
 * runs.
 * @throws AppError `bad_request` for what can be no program, which would otherwise show in the first use alone
 */
function programOf(command: string): string {
  if (command === '' || plainText(command, command.length) !== command) {
    const next = 'give the name or the path of a program, without arguments';
    throw cliError('bad_request', '--command is no program.', next);
  }
  return /[/\\]/.test(command) ? resolve(command) : command;
}

async function runWith(
  context: CliContext,
  entry: CacheEntry,
  requested: Requested,
  command: readonly string[],
): Promise<void> {
  const signals = new SignalRelay(process.stdin.isTTY || process.stderr.isTTY);
  const dir = temporaryFolder(requested.name);
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  process.once('exit', remove); // Also where this program ends by an unforeseen error.
  // A message that nothing takes (`2>&1 | head`, a full disk) must not leave the command and its session behind.
  process.stderr.on('error', () => undefined);
  try {
    const child = await createChild(context, entry, requested);
    try {
      const kubeconfig = fillTemporaryFolder(dir, child);
      announce(context, child);
      process.exitCode = await signals.run(command, delegatedEnvironment(dir, kubeconfig), (why) =>
        context.notify(why),
      );
    } finally {
      await end(context, child);
    }
  } finally {
    remove();
    signals.close();
  }
}

async function keepAt(
  context: CliContext,
  entry: CacheEntry,
  requested: Requested,
  { destination, options }: { readonly destination: Destination; readonly options: OutputOptions },
): Promise<void> {
  const child = await createChild(context, entry, requested);
  try {
    writeDestination(destination, child);
  } catch (error) {
    await end(context, child);
    throw error;
  }
  announce(context, child);
  if (destination.earlier !== undefined) await endEarlier(context, entry, destination.earlier);
  const result = { kubeconfig: destination.file, folder: destination.dir, delegation: child.item };
  await printResult(context, options, result, () => `${destination.file}\n`);
}

interface Child extends NewChild {
  readonly item: DelegationItem;
  /** Epoch milliseconds until when it was to last. */
  readonly askedUntil: number;
}

/** By how much the clocks here and at the server may differ before this is mistaken for an earlier end. */
const CLOCKS_MS = 120_000;

async function createChild(context: CliContext, entry: CacheEntry, requested: Requested): Promise<Child> {
  const { name, clusters, limit, seconds, command } = requested;
  // Before anything is made: what fails afterwards must not leave a session that is not known here.
  const { session: parent } = await ownSession(context, entry);
  const binding = await createBinding(context.nowMs());
  const thumbprint = certificateThumbprint(new X509Certificate(binding.certificate).raw);
  const json = { name, clusters, limits: [limit], seconds, thumbprint };
  const { body } = await sendForOwnSessions(context, entry, requestOf(DELEGATIONS_API, 'createDelegation', { json }));
  const created = parseResponse(createdDelegationSchema, body);
  const { delegation: item, refreshToken } = created;
  if (!isTokenText(refreshToken)) {
    throw cliError('upstream_unavailable', `${entry.server.url} sent no usable session.`, 'tell your platform team');
  }
  const session = childOf(parent, item, { binding, refreshToken, clusters: parseClusters(created.clusters) });
  const { id, name: actor, rights, expiresAt } = item;
  const namespace = limit.namespaces?.[0];
  const askedUntil = context.nowMs() + seconds * 1000;
  return { item, askedUntil, session, mark: { id, name: actor, rights, expiresAt }, namespace, command };
}

function childOf(
  { server, endpoints, user }: CachedSession,
  { id, expiresAt }: DelegationItem,
  own: Pick<NewChild['session'], 'binding' | 'refreshToken'> & Pick<CachedSession['user'], 'clusters'>,
): NewChild['session'] {
  const { account, username, groups } = user;
  const { binding, refreshToken, clusters } = own;
  const childUser = { sessionId: id, sessionExpiresAt: expiresAt, account, username, groups, clusters };
  return { server, endpoints, user: childUser, refreshToken, binding, tokens: {} };
}

/** In one line, before anything runs. */
function announce(context: CliContext, { item, askedUntil }: Child): void {
  const { id, name, rights, clusters, expiresAt } = item;
  const until = `${plainText(expiresAt, 40)} (${fromNow(expiresAt, context.nowMs())})`;
  const where = plainText(clusters.join(', '), 500);
  context.notify(
    `delegated to "${plainText(name, 300)}": ${plainText(rights, 1000)}, at ${where}, until ${until}; session ${id}`,
  );
  if (item.limits.every(mayReadSecrets)) context.notify('it can read Secrets, and whatever they open is open to it');
  if (Date.parse(expiresAt) < askedUntil - CLOCKS_MS) {
    context.notify('this is sooner than asked for: the server, or your own session, allows no longer');
  }
}

/** Ends it at the server. What cannot be ended now ends by itself: the command's own result counts. */
async function end(context: CliContext, { session, item }: Child): Promise<void> {
  try {
    await revokeRefreshToken(session, session.refreshToken);
  } catch (error) {
    notEnded(context, item.id, error, `it ends by itself at ${plainText(item.expiresAt, 40)}`);
  }
}

async function endEarlier(context: CliContext, entry: CacheEntry, id: string): Promise<void> {
  try {
    await sendForOwnSessions(context, entry, requestOf(DELEGATIONS_API, 'endDelegation', { params: { id } }));
    context.notify(`the session that was there before has ended: ${plainText(id, 80)}`);
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return;
    notEnded(context, id, error, 'it ends by itself at its time');
  }
}

function notEnded(context: CliContext, id: string, error: unknown, otherwise: string): void {
  const [why = ''] = error instanceof Error ? error.message.split('\n') : [];
  const session = plainText(id, 80);
  context.notify(
    `the session ${session} could not be ended: ${why}\n  Next: portcullis logout --session ${session}; ${otherwise}`,
  );
}
