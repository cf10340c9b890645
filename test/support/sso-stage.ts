/** The demo's server, whose provider is one at which every user is signed in already. */
import { readFile } from 'node:fs/promises';
import type { ProviderConfig } from '../../src/config/config.ts';
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
  /** Audit events of one name, oldest first. */
  events(name: string): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

export async function startSsoStage(): Promise<SsoStage> {
  const instance = await startTestInstance();
  const { web, api } = instance.urls;
  const sso = await startSsoProvider({ web, name: 'demo' });
  await instance.server.stop();
  const ca = await readFile(`${instance.files.directory}/ca.crt`, 'utf8');
  let server = await serverOf(instance, sso, 'auto');
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
      server = await serverOf(instance, sso, freshness);
      sso.prompts.length = 0;
      sso.asked.length = 0;
    },
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
  freshness: ProviderConfig['freshness'],
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
  const server = await startServer({ ...config, providers });
  await server.ready;
  // Nothing is served before the audit log can be written.
  await server.audit.flush();
  return server;
}
