/** Prometheus beside the demo, where it is installed: the same rules that an installation gets, on loopback, with its data in the demo's folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { end } from './redis-server.ts';

const RULES = fileURLToPath(new URL('../deploy/prometheus/rules.yaml', import.meta.url));

/** Seconds. A user waits in front of the dashboard for the effect of what they have just done. */
const EVERY = 5;
const READY_WITHIN_MS = 60_000;
const PROBE_MS = 100;

export interface Monitoring {
  readonly url: string;
  stop(): Promise<void>;
}

export interface MonitoringOptions {
  /** The demo's. */
  readonly directory: string;
  readonly port: number;
  /** `host:port` of each ops listener. */
  readonly targets: readonly string[];
  /** `host:port` of an Alertmanager; absent: alerts are not sent. */
  readonly alertmanager?: string;
  /** Seconds between two scrapes and between two evaluations. */
  readonly everySeconds?: number;
}

/**
 * Starts Prometheus and waits until it answers.
 * @returns undefined where none is installed
 * @throws Error that names its log where it ends before it answers, or does not answer within a minute
 */
export async function startMonitoring(options: MonitoringOptions): Promise<Monitoring | undefined> {
  const folder = join(resolve(options.directory), 'monitoring');
  // Of an earlier demo: its series would look like this one's past.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const config = join(folder, 'prometheus.yml');
  await writeFile(config, stringify(configuration(options)));
  const log = join(folder, 'prometheus.log');
  const url = `http://127.0.0.1:${options.port}`;
  const child = await launch(commandLine({ config, data: join(folder, 'data'), port: options.port }), log);
  if (child === undefined) return undefined;
  if (!(await isReady(child, url))) {
    await end(child, 'SIGKILL');
    throw new Error(`Prometheus did not start. Is port ${options.port} taken? Its log says more: ${log}`);
  }
  return { url, stop: () => end(child, 'SIGTERM') };
}

function configuration({ targets, alertmanager, everySeconds = EVERY }: MonitoringOptions): object {
  const every = `${everySeconds}s`;
  return {
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: [RULES],
    scrape_configs: [{ job_name: 'portcullis', static_configs: [{ targets }] }],
    ...(alertmanager === undefined
      ? {}
      : { alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] } }),
  };
}

const commandLine = ({
  config,
  data,
  port,
}: {
  readonly config: string;
  readonly data: string;
  readonly port: number;
}): readonly string[] => [
  `--config.file=${config}`,
  `--storage.tsdb.path=${data}`,
  '--storage.tsdb.retention.time=1d',
  // Exemplars lead from a slow bucket to the audit event.
  '--enable-feature=exemplar-storage',
  `--web.listen-address=127.0.0.1:${port}`,
];

/** @returns undefined where there is no such command */
async function launch(args: readonly string[], log: string): Promise<ChildProcess | undefined> {
  const file = await open(log, 'w', 0o600);
  try {
    const child = spawn('prometheus', args, { stdio: ['ignore', file.fd, file.fd] });
    await once(child, 'spawn');
    // However the demo ends, no child process may stay behind.
    process.once('exit', () => child.kill());
    return child;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  } finally {
    await file.close();
  }
}

async function isReady(child: ChildProcess, url: string): Promise<boolean> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (child.exitCode === null && child.signalCode === null && performance.now() < deadline) {
    const ready = await fetch(`${url}/-/ready`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ready) return child.exitCode === null;
    await pause(PROBE_MS);
  }
  return false;
}
