/** A whole server whose identity provider reports when a user signs out there, and is told when a user signs out here. */
import { readFile } from 'node:fs/promises';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance } from './instance.ts';
import { LOGOUT_CLIENT, startLogoutProvider, type LogoutProvider } from './logout-provider.ts';
import { newClientKey, OAuthClient } from './oauth-client.ts';

export interface LogoutInstance {
  readonly instance: RunningDemo;
  /** The server's public URL for browsers. */
  readonly web: string;
  readonly provider: LogoutProvider;
  readonly server: RunningServer;
  readonly client: OAuthClient;
  /** PEM of the api listener's CA. */
  readonly ca: string;
  /** Every line of the audit log so far. */
  recorded(): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

/** @param type of its provider in the configuration @param settings of the configuration that another test does not want */
export async function startLogoutInstance(
  type: Config['providers'][number]['type'] = 'oidc',
  settings: Partial<Config> = {},
): Promise<LogoutInstance> {
  const instance = await startTestInstance();
  const { web, api } = instance.urls;
  const provider = await startLogoutProvider({ web, name: 'demo' });
  // The same addresses, another provider behind the same name.
  await instance.server.stop();
  const loaded = await loadConfig({ file: instance.files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const providers = config.providers.map(({ clientSecretFile: _none, ...rest }) => ({
    ...rest,
    type,
    issuer: provider.issuer,
    clientId: LOGOUT_CLIENT,
  }));
  const server = await startServer({ ...config, ...settings, providers });
  await server.ready;
  const ca = await readFile(`${instance.files.directory}/ca.crt`, 'utf8');
  const client = new OAuthClient({ web, api, ca }, await newClientKey());
  return {
    instance,
    web,
    provider,
    server,
    client,
    ca,
    async recorded() {
      await server.audit.flush();
      return auditedBy(instance);
    },
    async stop() {
      await client.close();
      await server.stop();
      await instance.stop();
      await provider.close();
    },
  };
}
