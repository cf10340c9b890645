/** A whole server on a real Redis whose identity provider does what a test wants: hold a response, reject, be unavailable. */
import { readFile } from 'node:fs/promises';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance } from './instance.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider } from './hostile-provider.ts';
import { newClientKey, OAuthClient } from './oauth-client.ts';
import { startRedis, type RedisServer } from './redis.ts';

/** Everyone who signs in at the hostile provider. */
export const ACCOUNT = 'demo/42';

export interface HostileInstance {
  readonly provider: HostileProvider;
  readonly server: RunningServer;
  readonly client: OAuthClient;
  /** Its files and addresses, as a command line needs them. */
  readonly demo: RunningDemo;
  /** PEM of the api listener's CA. */
  readonly ca: string;
  /** Every line of the audit log so far. */
  recorded(): Promise<readonly AuditEvent[]>;
  /** Events of one name, oldest first. */
  events(name: string): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

/**
 * @param settings of the provider that another test does not want
 * @param limits of a test that sends more than users do
 */
export async function startHostileInstance(
  sessions: Partial<Config['sessions']> = {},
  settings: Partial<Config['providers'][number]> = {},
  limits: Partial<Config['limits']> = {},
): Promise<HostileInstance> {
  const redis: RedisServer = await startRedis();
  const instance: RunningDemo = await startTestInstance({ redis: redis.url });
  const provider = await startHostileProvider();
  // The same addresses, another provider behind the same name.
  await instance.server.stop();
  const server = await startServer(await configuration(instance, provider, { sessions, settings, limits }));
  await server.ready;
  const ca = await readFile(`${instance.files.directory}/ca.crt`, 'utf8');
  const client = new OAuthClient({ web: instance.urls.web, api: instance.urls.api, ca }, await newClientKey());
  const recorded = async (): Promise<readonly AuditEvent[]> => {
    await server.audit.flush();
    return auditedBy(instance);
  };
  return {
    provider,
    server,
    client,
    demo: instance,
    ca,
    recorded,
    events: async (name) =>
      (await recorded()).filter(({ annotations }) => annotations['portcullis.dev/event'] === name),
    async stop() {
      await client.close();
      await server.stop();
      await instance.stop();
      await provider.close();
      await redis.stop();
    },
  };
}

async function configuration(
  instance: RunningDemo,
  { issuer }: HostileProvider,
  {
    sessions,
    settings,
    limits,
  }: {
    readonly sessions: Partial<Config['sessions']>;
    readonly settings: Partial<Config['providers'][number]>;
    readonly limits: Partial<Config['limits']>;
  },
): Promise<Config> {
  const loaded = await loadConfig({ file: instance.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const providers = config.providers.map((provider) => ({ ...provider, ...settings, issuer, clientId: CLIENT_ID }));
  return {
    ...config,
    providers,
    sessions: { ...config.sessions, ...sessions },
    limits: { ...config.limits, ...limits },
  };
}
