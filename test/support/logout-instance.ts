/** A whole server whose identity provider reports when a user signs out there, and is told when a user signs out here. */
import type { Config } from '../../src/config/config.ts';
import { startTestInstance, withParts, type TestInstance } from './instance.ts';
import { LOGOUT_CLIENT, startLogoutProvider, type LogoutProvider } from './logout-provider.ts';
import type { OAuthClient } from './oauth-client.ts';

export interface LogoutInstance extends TestInstance {
  readonly provider: LogoutProvider;
  readonly client: OAuthClient;
}

/** @param type of its provider in the configuration @param settings of the configuration that another test does not want */
export async function startLogoutInstance(
  type: Config['providers'][number]['type'] = 'oidc',
  settings: Partial<Config> = {},
): Promise<LogoutInstance> {
  const instance = await startTestInstance();
  const provider = await startLogoutProvider({ web: instance.web, name: 'demo' });
  const { issuer } = provider;
  // The same addresses, another provider behind the same name.
  await instance.restart({
    loaded: (config) => ({
      ...config,
      ...settings,
      providers: config.providers.map(({ clientSecretFile: _none, ...rest }) => ({
        ...rest,
        type,
        issuer,
        clientId: LOGOUT_CLIENT,
      })),
    }),
  });
  return withParts(instance, { provider, client: await instance.connect() }, () => provider.close());
}
