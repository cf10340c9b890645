/**
 * A whole deployment for tests: identity provider, embedded cluster and server, all of them real, on their own ports; with settings of the test's,
 * further replicas, and clients. What was started by it ends with it.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { auditEvents } from '../../demo/audit-events.ts';
import { demoPorts } from '../../demo/demo.ts';
import { startDemo, type DemoOptions, type RunningDemo } from '../../demo/launch.ts';
import { freePort, takenPorts } from '../../demo/ports.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { defined } from '../../src/core/defined.ts';
import type { KeyTiming } from '../../src/server/keys.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import type { Store } from '../../src/store/store.ts';
import { startBuilt } from './built-program.ts';
import { newClientKey, OAuthClient, type ClientKey, type Endpoints } from './oauth-client.ts';
import { startRedis } from './redis.ts';
import { staged } from './staged.ts';

/** Five ports in a row that no program uses. */
export async function freePortBase(): Promise<number> {
  for (;;) {
    const base = await freePort();
    if ((await takenPorts(demoPorts(base))).length === 0) return base;
  }
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'portcullis-test-'));
}

/**
 * Resolves when the store's epoch is old enough for anything to be minted (docs/revocation-protocol.md#settle): anyone who signs in before is
 * sent away.
 */
export async function untilSettled({ log }: Pick<Store, 'log'>): Promise<void> {
  while (!log.settled) await pause(20);
}

export type Settings = Readonly<Record<string, unknown>>;

/** What is different from the demo's server: the addresses, files and cluster stay. */
export interface ServerChange {
  /**
   * Adds to the file's settings.
   * @param instance for its folder and addresses
   */
  readonly file?: (settings: Settings, instance: RunningDemo) => Settings | Promise<Settings>;
  /** The environment beside the file. Absent: empty. */
  readonly env?: Readonly<Record<string, string>>;
  /** What no file may say: lives shorter than the schema allows, a vendor's issuer on loopback. */
  readonly loaded?: (config: Config) => Config;
  /** How soon a new key is used. */
  readonly keyTiming?: KeyTiming;
  /** The replica's name. */
  readonly name?: string;
}

export interface InstanceOptions extends ServerChange, Pick<DemoOptions, 'kubeconfig' | 'apiServerAuditLog'> {
  /** `redis://…`, or `true` for one of its own; the memory store when absent. */
  readonly redis?: string | true;
}

export interface ReplicaOptions extends Pick<ServerChange, 'name' | 'keyTiming'> {
  /** What is different from the server that runs now, after that one's own changes. */
  readonly loaded?: (config: Config) => Config;
  /** Where it finds the server's Redis; absent: where the server does. */
  readonly redis?: string;
  /** Resolves before it is ready. */
  readonly early?: boolean;
}

/** With the addresses of the listeners, and the CA of the api listener's certificate. */
export interface TestInstance extends RunningDemo, Endpoints {
  /** The server that runs now. */
  readonly server: RunningServer;
  /**
   * @param options.key absent: a new one; null: no certificate is shown
   * @param options.at a further replica, or the address of an api listener
   */
  connect(options?: { readonly key?: ClientKey | null; readonly at?: RunningServer | string }): Promise<OAuthClient>;
  /** Another replica: the same configuration on its own ports, as a second pod behind one load balancer. */
  replica(options?: ReplicaOptions): Promise<RunningServer>;
  /** Stops the server and starts one that has nothing in its memory. @param change in place of all earlier ones; absent: they stay */
  restart(change?: ServerChange): Promise<RunningServer>;
  /** The audit log so far. */
  recorded(): Promise<readonly AuditEvent[]>;
  /** Audit events of one name, oldest first; undefined: requests to clusters. */
  events(name: string | undefined): Promise<readonly AuditEvent[]>;
  readonly stop: () => Promise<void>;
}

interface Start extends Pick<ServerChange, 'name' | 'keyTiming'> {
  readonly config: () => Promise<Config>;
}

const same = (config: Config): Config => config;

async function loadedFrom(file: string, env: Readonly<Record<string, string>> = {}): Promise<Config> {
  const loaded = await loadConfig({ file, env });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  return loaded.value.config;
}

function onAnyPort(listen: Config['listen']): Config['listen'] {
  const address = { host: '127.0.0.1', port: 0 };
  const { api, web, ops } = listen;
  return { ...listen, api: { ...api, address }, web: { ...web, address }, ops: { ...ops, address } };
}

export const startTestInstance = (options: InstanceOptions = {}): Promise<TestInstance> =>
  staged(async (stops) => {
    const { redis, kubeconfig, apiServerAuditLog, ...change } = options;
    const ownRedis = redis === true ? await startRedis() : undefined;
    stops.push(() => ownRedis?.stop());
    const directory = await temporaryFolder();
    stops.push(() => rm(directory, { recursive: true, force: true }));
    const url = redis === true ? ownRedis?.url : redis;
    const demo = await startDemo({
      directory,
      portBase: await freePortBase(),
      ...defined({ redis: url, kubeconfig, apiServerAuditLog }),
    });
    stops.push(() => demo.stop());
    startBuilt(demo.files.command);
    const { files, urls } = demo;
    const endpoints = { web: urls.web, api: urls.api, ca: await readFile(join(directory, 'ca.crt'), 'utf8') };
    let server = demo.server;
    stops.push(() => server.stop());
    let how: Start = { config: () => loadedFrom(files.config) };
    const serves = async (): Promise<RunningServer> => {
      await server.ready;
      await untilSettled(server.store);
      return server;
    };
    await serves();
    const changedStart = async ({ file, env, loaded = same, name, keyTiming }: ServerChange): Promise<Start> => {
      let path = files.config;
      if (file !== undefined) {
        const settings = await file(parse(await readFile(path, 'utf8')) as Settings, demo);
        path = join(directory, 'changed.yaml');
        await writeFile(path, stringify(settings, { lineWidth: 0 }));
      }
      return { config: async () => loaded(await loadedFrom(path, env)), ...defined({ name, keyTiming }) };
    };
    const recorded = (): Promise<readonly AuditEvent[]> => auditEvents({ files, server });
    const instance: Omit<TestInstance, 'stop'> = {
      ...demo,
      ...endpoints,
      get server() {
        return server;
      },
      async connect({ key, at = endpoints.api } = {}) {
        const api = typeof at === 'string' ? at : `https://localhost:${at.ports.api}`;
        const made = new OAuthClient({ ...endpoints, api }, key === null ? undefined : (key ?? (await newClientKey())));
        stops.push(() => made.close());
        return made;
      },
      async replica({ name, keyTiming, loaded = same, redis: elsewhere, early = false } = {}) {
        const config = await how.config();
        const { store, telemetry } = config;
        const changed = loaded({
          ...config,
          listen: onAnyPort(config.listen),
          // What is cut off on purpose need not say so.
          telemetry: { ...telemetry, logLevel: 'error' },
          store: elsewhere === undefined || store.kind === 'memory' ? store : { ...store, url: elsewhere },
        });
        const replica = await startServer(changed, name, keyTiming);
        stops.push(() => replica.stop());
        if (!early) await replica.ready;
        return replica;
      },
      async restart(again) {
        if (again !== undefined) how = await changedStart(again);
        const config = await how.config();
        await server.stop();
        server = await startServer(config, how.name, how.keyTiming);
        return serves();
      },
      recorded,
      events: async (name) =>
        (await recorded()).filter(({ annotations }) => annotations['portcullis.dev/event'] === name),
    };
    if (Object.keys(change).length > 0) await instance.restart(change);
    return instance;
  });

/** The instance with parts of a stage, which end after it. */
export function withParts<T extends object>(
  instance: TestInstance,
  parts: T,
  close: () => unknown = () => undefined,
): TestInstance & T {
  const { stop } = instance;
  return Object.assign(instance, parts, {
    async stop() {
      await stop();
      await close();
    },
  });
}
