/**
 * Commands: what an operator types on a server's own shell: `serve`, `config check|probe`, `store check`, `keys`,
 * `audit verify|query|anchors`, and `revoke`, `lock` and `unlock` with `--config`.
 *
 * Owns: their messages and exit statuses. Must not know: how the server serves (module `server` does), or anything
 * of a user's machine.
 */
import { hostname } from 'node:os';
import { isatty } from 'node:tty';
import manifest from '../../package.json' with { type: 'json' };
import { MISCONFIGURED, readGiven, type Environment } from './given-config.ts';
import { followFiles } from '../config/followed-files.ts';
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
