/** Reads what a provider sent in each step of a probe's sign-in, out of what the listener has recorded. */
import type { ProviderConfig } from '../../config/config.ts';
import { githubEndpoints } from '../github/endpoints.ts';
import type { GithubProviderOptions } from '../github/github.ts';
import type { VendorProviderOptions } from '../vendors/vendors.ts';
import type { Attempt } from './attempt.ts';
import { githubClaims } from './github.ts';
import type { Listener } from './listener.ts';
import { metadataOf, textIn, type Metadata } from './metadata.ts';
import { tokenEndpointOf, WELL_KNOWN } from './probe.ts';
import { tokensIn, userInfoIn } from './received.ts';
import { defined } from '../../core/defined.ts';

export type ProbedProvider =
  | { readonly kind: 'github'; readonly options: GithubProviderOptions }
  | { readonly kind: 'oidc'; readonly options: VendorProviderOptions };

/** Reads what was recorded during one step. */
export interface Recorder {
  metadata(): Promise<Metadata>;
  readonly hide: Listener['hide'];
  /** @returns of the responses since `mark`: the latest tokens, and the UserInfo response */
  since(mark: number): Promise<Pick<Attempt, 'tokens' | 'userInfo' | 'askedUserInfo'>>;
  /** Where the next step begins. */
  readonly mark: () => number;
}

export function createRecorder(listener: Listener, probed: ProbedProvider, { clientAuth }: ProviderConfig): Recorder {
  const metadata = async (): Promise<Metadata> =>
    metadataOf((await listener.last(WELL_KNOWN)?.response.clone().text()) ?? '', listener.redacted) ?? {};
  return {
    metadata,
    hide: listener.hide,
    mark: () => listener.all.length,
    async since(mark) {
      const recorded = listener.all.slice(mark);
      const known = await metadata();
      const endpoint =
        probed.kind === 'github'
          ? githubEndpoints(probed.options.host).token
          : tokenEndpointOf(known, clientAuth === 'tls_client_auth');
      const came = await tokensIn(
        recorded.filter(({ url }) => url === endpoint),
        listener,
      );
      const tokens = came.at(-1);
      const profileEndpoint = URL.parse(textIn(known, 'userinfo_endpoint') ?? '')?.href;
      const profile = recorded.findLast(({ url }) => url === profileEndpoint);
      const userInfo =
        probed.kind === 'github'
          ? await githubClaims(recorded, listener.redacted)
          : profile !== undefined && profile.status === 200
            ? await userInfoIn(profile, listener)
            : undefined;
      return {
        ...defined({ tokens, userInfo }),
        askedUserInfo: profile !== undefined,
      };
    },
  };
}
