/** The demo's server, whose provider is one at which every user is signed in already. */
import { readFile } from 'node:fs/promises';
import type { Config, ProviderConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance } from './instance.ts';
import { SSO_CLIENT, startSsoProvider, type SsoProvider } from './sso-provider.ts';

export interface SsoStage {
  readonly web: string;
  readonly api: string;
  /** PEM. */
  readonly ca: string;
  readonly sso: SsoProvider;
  readonly server: RunningServer;
  /** The provider begins without switches, and the server knows nothing of it. */
  restart(freshness?: ProviderConfig['freshness']): Promise<void>;
  /** Starts another replica on ports of its own, which the stage does not stop. */
  replica(): Promise<RunningServer>;
  /** Audit events of one name, oldest first. */
  events(name: string): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

export interface SsoStageOptions {
  /** Its URL. Absent: everything is in memory. */
  readonly redis?: string;
  /** What else is different from the demo's settings. */
  readonly change?: (config: Config) => Partial<Config>;
}

export async function startSsoStage({ redis, change = () => ({}) }: SsoStageOptions = {}): Promise<SsoStage> {
  const instance = await startTestInstance(redis === undefined ? {} : { redis });
  const { web, api } = instance.urls;
  const sso = await startSsoProvider({ web, name: 'demo' });
  await instance.server.stop();
  const ca = await readFile(`${instance.files.directory}/ca.crt`, 'utf8');
  let server = await serverOf(instance, sso, change);
  return {
    web,
    api,
    ca,
    sso,
    get server() {
      return server;
    },
    async restart(freshness = 'auto') {
      await server.stop();
      Object.assign(sso, { user: 'root', provenIn: 0, manners: {} });
      server = await serverOf(instance, sso, change, freshness);
      sso.prompts.length = 0;
      sso.asked.length = 0;
    },
    replica: () => serverOf(instance, sso, (config) => ({ ...change(config), listen: onAnyPort(config.listen) })),
    async events(name) {
      await server.audit.flush();
      return (await auditedBy(instance)).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);
    },
    async stop() {
      await server.stop();
      await instance.stop();
      await sso.close();
    },
  };
}

/** The same addresses, another provider behind the same name. */
async function serverOf(
  instance: RunningDemo,
  sso: SsoProvider,
  change: (config: Config) => Partial<Config>,
  freshness: ProviderConfig['freshness'] = 'auto',
): Promise<RunningServer> {
  const loaded = await loadConfig({ file: instance.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const providers = config.providers.map(({ clientSecretFile: _none, ...rest }) => ({
    ...rest,
    issuer: sso.issuer,
    clientId: SSO_CLIENT,
    freshness,
  }));
  const server = await startServer({ ...config, providers, ...change(config) });
  await server.ready;
  // Nothing is served before the audit log can be written.
  await server.audit.flush();
  return server;
}

function onAnyPort(listen: Config['listen']): Config['listen'] {
  const address = { host: '127.0.0.1', port: 0 };
  const { api, web, ops } = listen;
  return { ...listen, api: { ...api, address }, web: { ...web, address }, ops: { ...ops, address } };
}
