/** The demo's server, whose provider is one at which every user is signed in already. */
import type { Config, ProviderConfig } from '../../src/config/config.ts';
import { startTestInstance, withParts, type InstanceOptions, type TestInstance } from './instance.ts';
import { SSO_CLIENT, startSsoProvider, type SsoProvider } from './sso-provider.ts';

export interface SsoStage extends TestInstance {
  readonly sso: SsoProvider;
  /** The provider begins without switches, and the server knows nothing of it. */
  reset(freshness?: ProviderConfig['freshness']): Promise<void>;
}

export interface SsoStageOptions extends Pick<InstanceOptions, 'redis'> {
  /** What else is different from the demo's settings. */
  readonly change?: (config: Config) => Partial<Config>;
}

export async function startSsoStage({ change = () => ({}), ...options }: SsoStageOptions = {}): Promise<SsoStage> {
  const instance = await startTestInstance(options);
  const sso = await startSsoProvider({ web: instance.web, name: 'demo' });
  const { issuer } = sso;
  /** The same addresses, another provider behind the same name. */
  const restart = async (freshness: ProviderConfig['freshness'] = 'auto'): Promise<void> => {
    await instance.restart({
      loaded: (config) => ({
        ...config,
        providers: config.providers.map(({ clientSecretFile: _none, ...rest }) => ({
          ...rest,
          issuer,
          clientId: SSO_CLIENT,
          freshness,
        })),
        ...change(config),
      }),
    });
    // Nothing is served before the audit log can be written.
    await instance.server.audit.flush();
  };
  await restart();
  const reset: SsoStage['reset'] = async (freshness) => {
    Object.assign(sso, { user: 'root', provenIn: 0, manners: {} });
    await restart(freshness);
    sso.prompts.length = 0;
    sso.asked.length = 0;
  };
  return withParts(instance, { sso, reset }, () => sso.close());
}
