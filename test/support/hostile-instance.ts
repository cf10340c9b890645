/** A whole server on a real Redis whose identity provider does what a test wants: hold a response, reject, be unavailable. */
import type { Config } from '../../src/config/config.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider } from './hostile-provider.ts';
import { startTestInstance, withParts, type TestInstance } from './instance.ts';
import type { OAuthClient } from './oauth-client.ts';

/** Everyone who signs in at the hostile provider. */
export const ACCOUNT = 'demo/42';

export interface HostileInstance extends TestInstance {
  readonly provider: HostileProvider;
  readonly client: OAuthClient;
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
  const provider = await startHostileProvider();
  const { issuer } = provider;
  const instance = await startTestInstance({
    redis: true,
    // The same addresses, another provider behind the same name.
    loaded: (config) => ({
      ...config,
      providers: config.providers.map((one) => ({ ...one, ...settings, issuer, clientId: CLIENT_ID })),
      sessions: { ...config.sessions, ...sessions },
      limits: { ...config.limits, ...limits },
    }),
  });
  return withParts(instance, { provider, client: await instance.connect() }, () => provider.close());
}
