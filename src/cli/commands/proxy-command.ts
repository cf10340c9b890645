/** `proxy`: serves one cluster locally, for clients that cannot present the certificate of an exec plugin. */
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { AppError } from '../../core/errors.ts';
import { clusterAudience } from '../../core/core.ts';
import { ensureEntry, locateEntry, type CacheEntry } from '../session/cache.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { CredentialKeeper } from '../local-proxy/credential-keeper.ts';
import { listenLocally, type LocalListener, type ListenAddress } from '../local-proxy/listener.ts';
import { createLoopbackCertificate } from '../local-proxy/loopback-certificate.ts';
import { checkSocketFolder, kubeconfigText, writeKubeconfig } from '../local-proxy/run-files.ts';
import { renew, type Credential } from '../session/renewal.ts';
import { parseClusterName } from '../http/server-url.ts';
import { isFresh } from '../session/session.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';

export interface ProxyOptions extends ServerOptions {
  readonly cluster: string;
  readonly port?: string;
  readonly socket?: string;
  readonly kubeconfig?: string;
  readonly browser: boolean;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Serves until it is stopped.
 * @throws AppError with the reason why the session is over; by then everything is cut and removed
 */
export async function proxy(context: CliContext, options: ProxyOptions): Promise<void> {
  const port = checkUse(options);
  const server = whichServer(context.environment, options);
  const cluster = parseClusterName(options.cluster);
  const socket = options.socket === undefined ? undefined : resolve(options.socket);
  if (socket !== undefined) checkSocketFolder(socket);
  const entry = locateEntry(context.environment.cacheDir, server);
  const browser = options.browser && !context.environment.noBrowser;
  const first = await credentialOf(context, entry, { cluster, browser });
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined); // The code that awaits it comes later.
  const end = (): void => ended.resolve();
  for (const signal of SIGNALS) process.once(signal, end);
  const keeper = new CredentialKeeper({ context, entry, cluster, first, onEnd: ended.reject });
  let listener: LocalListener | undefined;
  let remove = (): void => undefined;
  // Also where this program ends by an unforeseen error.
  process.once('exit', () => remove());
  try {
    const address = socket === undefined ? await portAddress(context, port) : { socket };
    listener = await listenLocally(address, keeper);
    if ('secret' in address) {
      const path = kubeconfigPath(entry, options, cluster);
      const facts = { server: server.url, cluster, port: listener.port, secret: address.secret };
      remove = writeKubeconfig(path, kubeconfigText({ ...facts, ca: address.certificate.ca }));
      context.print(`${path}\n`);
      context.notify(`serving ${cluster} on 127.0.0.1:${listener.port} for anyone who has this kubeconfig: ${path}`);
    } else {
      context.print(`${address.socket}\n`);
      context.notify(`serving ${cluster} on the socket ${address.socket}, for your own programs only`);
    }
    context.notify('it acts as you until your session ends, or until you stop it with Ctrl-C');
    await ended.promise;
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
    remove();
    // In this order: otherwise our own cut would look like a cut by the server, and would trigger a check of the
    // session.
    keeper.close();
    await listener?.close();
  }
}

/** @returns the port */
function checkUse({ port: givenPort, socket, kubeconfig }: ProxyOptions): number {
  const port = givenPort ?? '0';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw cliError(
      'bad_request',
      '--port is not a port number.',
      'give a number up to 65535, or leave it out to use a free port',
    );
  }
  if (socket !== undefined && (givenPort !== undefined || kubeconfig !== undefined)) {
    throw cliError(
      'bad_request',
      '--socket excludes --port and --kubeconfig: a kubeconfig cannot name a socket.',
      'give only one of them',
    );
  }
  return Number(port);
}

async function portAddress(
  context: CliContext,
  port: number,
): Promise<Extract<ListenAddress, { readonly secret: string }>> {
  const certificate = await createLoopbackCertificate(context.nowMs());
  return { port, secret: randomBytes(32).toString('base64url'), certificate };
}

/**
 * Returns a path in the cache's own folder, which no other user can enter. The name is unique, because several may
 * run.
 */
function kubeconfigPath(entry: CacheEntry, { kubeconfig }: ProxyOptions, cluster: string): string {
  if (kubeconfig !== undefined) return resolve(kubeconfig);
  ensureEntry(entry);
  return join(entry.dir, `proxy-${cluster}-${randomBytes(4).toString('hex')}.kubeconfig`);
}

/** Returns a credential as `get-token` does: from the cache, from the server, or by a sign-in where one is allowed. */
async function credentialOf(
  context: CliContext,
  entry: CacheEntry,
  { cluster, browser }: { readonly cluster: string; readonly browser: boolean },
): Promise<Credential> {
  const renewed = (): Promise<Credential> =>
    renew(context, entry, { audience: clusterAudience(cluster), accept: (token) => isFresh(token, context.nowMs()) });
  try {
    return await renewed();
  } catch (error) {
    if (!browser || !(error instanceof AppError) || error.code !== 'unauthenticated') throw error;
    context.notify(error.message.split('\n')[0] ?? error.message);
    const { signIn } = await import('../session/sign-in.ts');
    await signIn(context, { entry, attended: context.attended });
    return renewed();
  }
}
