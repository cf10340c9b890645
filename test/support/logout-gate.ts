/** A whole gate whose identity provider says when somebody signs out there, and is told when somebody signs out here. */
import { readFile } from 'node:fs/promises';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestGate } from './gate.ts';
import { LOGOUT_CLIENT, startLogoutProvider, type LogoutProvider } from './logout-provider.ts';
import { newClientKey, OAuthClient } from './oauth-client.ts';

export interface LogoutGate {
  readonly gate: RunningDemo;
  /** The gate's public URL for browsers. */
  readonly web: string;
  readonly provider: LogoutProvider;
  readonly server: RunningServer;
  readonly client: OAuthClient;
  /** PEM of the api listener's authority. */
  readonly ca: string;
  /** Every line of the record so far. */
  recorded(): Promise<readonly AuditEvent[]>;
  stop(): Promise<void>;
}

/** @param type what the gate takes its provider for @param settings of the configuration that another test does not want */
export async function startLogoutGate(
  type: Config['providers'][number]['type'] = 'oidc',
  settings: Partial<Config> = {},
): Promise<LogoutGate> {
  const gate = await startTestGate();
  const { web, api } = gate.urls;
  const provider = await startLogoutProvider({ web, name: 'demo' });
  // The same addresses, another provider behind the same name.
  await gate.server.stop();
  const loaded = await loadConfig({ file: gate.files.config, env: {} });
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
  const ca = await readFile(`${gate.files.directory}/ca.crt`, 'utf8');
  const client = new OAuthClient({ web, api, ca }, await newClientKey());
  return {
    gate,
    web,
    provider,
    server,
    client,
    ca,
    async recorded() {
      await server.audit.flush();
      return auditedBy(gate);
    },
    async stop() {
      await client.close();
      await server.stop();
      await gate.stop();
      await provider.close();
    },
  };
}
