/**
 * `config probe --sign-in`: a real sign-in of the operator's own at a live provider, and a refresh of it.
 *
 * As in `probe.ts` there is no second client: `begin`, `finish` and `recheck` are those that serve sign-ins, and their
 * requests are recorded. The browser ends at our registered callback, where no server knows this sign-in, so its code
 * stays unused; the operator copies the address from there. The code is worth nothing to an attacker who reads it in a
 * browser's history or in the log of an ingress: it can be redeemed with our PKCE verifier alone, which never leaves
 * this process (RFC 7636). Nothing is kept: no session, no store, no file; and what came is revoked.
 */
import type { ProviderConfig } from '../../config/config.ts';
import { AppError } from '../../core/errors.ts';
import { FreshProofMissing } from '../fresh-sign-in.ts';
import { createGithubProvider, type GithubProviderOptions } from '../github/github.ts';
import type { IdentityProvider, ProviderSignIn, SignInChallenge } from '../types.ts';
import { createVendorProvider, type VendorProviderOptions } from '../vendors/vendors.ts';
import { isAboutProof, type Attempt, type Refresh } from './attempt.ts';
import { createListener, type Listener } from './listener.ts';
import { type Metadata, metadataOf, textIn } from './metadata.ts';
import { callbackOf, introduction, isDisabledNow, type Operator } from './operator.ts';
import { outboundOptionsOf, tokenEndpointOf, WELL_KNOWN } from './probe.ts';
import { revocationRow } from './revocation.ts';
import { optional, type ProbeRow } from './row.ts';
import { signInRows } from './sign-in-rows.ts';
import { defined } from '../../core/defined.ts';
import { githubEndpoints } from '../github/endpoints.ts';
import { githubClaims } from './github.ts';
import { tokensIn, userInfoIn } from './received.ts';

export interface SignInProbe {
  readonly rows: readonly ProbeRow[];
  /** As received and not verified; of any size. */
  readonly claims: { readonly idToken?: Metadata; readonly userInfo?: Metadata };
  readonly user?: Pick<ProviderSignIn, 'subject' | 'identity'>;
  /** Why there is no user; absent where no address was given. */
  readonly error?: AppError;
}

/** Never rejects for anything that the provider does. */
export async function probeSignIn(
  probed: ProbedProvider,
  config: ProviderConfig,
  operator: Operator,
): Promise<SignInProbe> {
  const { clientSecret } = probed.options;
  const listener = createListener(clientSecret === undefined ? [] : [clientSecret()]);
  const { onResponse } = listener;
  const provider =
    probed.kind === 'github'
      ? createGithubProvider({ ...probed.options, onResponse })
      : createVendorProvider({ ...probed.options, onResponse });
  const recorder = createRecorder(listener, probed, config);
  const { attempts, begun } = await signIn({ provider, operator, recorder, redirectUri: probed.options.redirectUri });
  const { refreshTokens, ...refreshes } = await refreshed(provider, { attempts, operator, recorder });
  const metadata = await recorder.metadata();
  const { clockSkew, mapping } = probed.kind === 'oidc' ? probed.options : {};
  const { redacted } = listener;
  const rows = [
    ...signInRows({ config, mapping, clockSkew, metadata, attempts, begun, ...refreshes, redacted }),
    ...(await revocation(probed, { metadata, refreshTokens }, listener)),
  ];
  const last = attempts.at(-1);
  const error = begun ?? last?.error;
  const claims = {
    ...(last?.tokens?.idToken === undefined ? {} : { idToken: last.tokens.idToken.claims }),
    ...defined({ userInfo: last?.userInfo }),
  };
  const user = last?.user === undefined ? {} : { user: { subject: last.user.subject, identity: last.user.identity } };
  return { ...withoutSecrets({ rows, claims, ...user }, redacted), ...defined({ error }) };
}

/** A hostile provider gives a claim, a group or a user the name of a token that it has just issued. */
const withoutSecrets = <T>(value: T, redacted: (text: string) => string): T =>
  JSON.parse(JSON.stringify(value), (_key, each: unknown) => {
    if (typeof each === 'string') return redacted(each);
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).map(([name, inner]) => [redacted(name), inner]));
  }) as T;

interface Flow {
  readonly provider: IdentityProvider;
  readonly operator: Operator;
  readonly recorder: Recorder;
  readonly redirectUri: string;
}

interface Attempts {
  /** Oldest first; those that asked for a fresh sign-in are the first. */
  readonly attempts: readonly Attempt[];
  /** Why the latest could not begin. */
  readonly begun?: AppError;
}

/**
 * Signs the operator in: fresh, by the steps of a sign-in after a revocation, so that `auth_time` is seen; and without
 * that where the provider proves none, so that the rest is seen as well.
 */
async function signIn({ provider, operator, recorder, redirectUri }: Flow): Promise<Attempts> {
  const attempts: Attempt[] = [];
  let fresh = provider.provesFreshness;
  let after: SignInChallenge | undefined;
  for (;;) {
    const started = await provider.begin({ fresh, after }).catch((error: unknown) => error as AppError);
    if (started instanceof Error) return { attempts, begun: started };
    const { challenge, url } = started;
    for (const secret of [challenge.state, challenge.nonce, challenge.codeVerifier]) recorder.hide(secret);
    if (attempts.length === 0) operator.tell(introduction(redirectUri));
    operator.open(url);
    const callback = await callbackOf(operator, redirectUri, challenge);
    if (callback === undefined) return { attempts };
    const mark = recorder.mark();
    const outcome = await outcomeOf(provider.finish(callback, challenge));
    const attempt = { challenge, asked: url.searchParams, ...outcome, ...(await recorder.since(mark)) };
    attempts.push(attempt);
    const { error } = outcome;
    if (error === undefined || !isAboutProof(attempt)) return { attempts };
    operator.tell(`No fresh sign-in was proven: ${error.message}`);
    after = error instanceof FreshProofMissing ? error.after : undefined;
    fresh = after !== undefined;
    operator.tell(
      fresh ? 'A sign-in asks once more, in another way:' : 'Sign in once more, without that proof, to see the rest:',
    );
  }
}

const outcomeOf = (step: Promise<ProviderSignIn>): Promise<{ readonly user?: ProviderSignIn; error?: AppError }> =>
  step.then(
    (user) => ({ user }),
    (error: unknown) => ({ error: error instanceof AppError ? error : new AppError('internal', String(error)) }),
  );

interface Refreshes {
  readonly refresh?: Refresh;
  /** After the operator has disabled the user at the provider. */
  readonly disabled?: Refresh;
  /** The newest refresh token of each attempt. */
  readonly refreshTokens: readonly string[];
}

async function refreshed(
  provider: IdentityProvider,
  {
    attempts,
    operator,
    recorder,
  }: { readonly attempts: readonly Attempt[]; readonly operator: Operator; readonly recorder: Recorder },
): Promise<Refreshes> {
  const last = attempts.at(-1);
  const earlier = attempts.slice(0, -1).flatMap(({ tokens }) => tokens?.refreshToken ?? []);
  const user = last?.user;
  let newest = user?.refreshToken ?? last?.tokens?.refreshToken;
  if (user === undefined || newest === undefined) {
    return { refreshTokens: newest === undefined ? earlier : [...earlier, newest] };
  }
  const once = async (presented: string): Promise<Refresh> => {
    const mark = recorder.mark();
    const keep = async (token: string): Promise<void> => void (newest = token);
    const outcome = await outcomeOf(provider.recheck(user.subject, presented, keep));
    return { ...outcome, ...(await recorder.since(mark)) };
  };
  const refresh = await once(newest);
  const isTested = refresh.user !== undefined && operator.attended && (await isDisabledNow(operator));
  const disabled = isTested ? await once(newest) : undefined;
  return { refresh, ...defined({ disabled }), refreshTokens: [...earlier, newest] };
}

async function revocation(
  probed: ProbedProvider,
  { metadata, refreshTokens }: { readonly metadata: Metadata; readonly refreshTokens: readonly string[] },
  listener: Listener,
): Promise<readonly ProbeRow[]> {
  if (probed.kind === 'oidc') {
    const { options } = probed;
    const outboundOptions = outboundOptionsOf(options, listener);
    const { redacted } = listener;
    return [await revocationRow({ options, outboundOptions, metadata, refreshTokens, redacted })];
  }
  if (refreshTokens.length === 0) return [];
  const seen = 'GitHub has no revocation endpoint (RFC 7009): the token of this sign-in is kept nowhere here';
  return [optional.unknown('tokens revoked', seen, 'To revoke it at GitHub: Settings › Applications, as this user.')];
}

/** Reads what a provider sent in each step of a probe's sign-in, out of what the listener has recorded. */
type ProbedProvider =
  | { readonly kind: 'github'; readonly options: GithubProviderOptions }
  | { readonly kind: 'oidc'; readonly options: VendorProviderOptions };

/** Reads what was recorded during one step. */
interface Recorder {
  metadata(): Promise<Metadata>;
  readonly hide: Listener['hide'];
  /** @returns of the responses since `mark`: the latest tokens, and the UserInfo response */
  since(mark: number): Promise<Pick<Attempt, 'tokens' | 'userInfo' | 'askedUserInfo'>>;
  /** Where the next step begins. */
  readonly mark: () => number;
}

function createRecorder(listener: Listener, probed: ProbedProvider, { clientAuth }: ProviderConfig): Recorder {
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
