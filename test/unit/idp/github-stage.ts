/** A GitHub, a user with an account there, and the provider for it: each test begins with all of them as new. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { compileMapping } from '../../../src/core/identity/claims.ts';
import { type ClaimsProvider } from '../../../src/core/identity/types.ts';
import type { AppError } from '../../../src/core/errors.ts';
import { createGithubProvider, type GithubProviderOptions } from '../../../src/idp/github/github.ts';
import type { IdentityProvider, ProviderSignIn, SignInChallenge } from '../../../src/idp/idp.ts';
import { startGithub, type Github, type GithubAccount } from '../../support/github-api.ts';

export const ACME = { id: 501, login: 'Acme' };
export const OTHER = { id: 502, login: 'other' };
export const CALLBACK = 'https://portcullis.example.com/callback/gh';

type Options = Partial<Omit<GithubProviderOptions, 'organizations'>> & {
  readonly organizations?: GithubProviderOptions['organizations'] | 'all';
};

export interface Stage {
  readonly github: Github;
  readonly alice: GithubAccount;
  /** What the provider has logged. */
  readonly logged: object[];
  /** Epoch milliseconds, for Portcullis and for GitHub. */
  now: number;
  /** For members of Acme, groups by the default expression; with what is given in place of it. */
  provider(options?: Options, mapping?: Partial<ClaimsProvider>): IdentityProvider;
  /** Up to the redirect back to us, where no server listens. */
  callbackOf(gh: IdentityProvider): Promise<{ callback: URL; challenge: SignInChallenge; url: URL }>;
  /** From GitHub's page back to us, as a browser goes. */
  follow(url: URL): Promise<URL>;
  signIn(gh: IdentityProvider): Promise<ProviderSignIn>;
  /** A provider, and a user who has signed in there. */
  signedIn(): Promise<SignedIn>;
}

interface SignedIn {
  readonly gh: IdentityProvider;
  readonly first: ProviderSignIn;
  readonly recheck: () => Promise<ProviderSignIn>;
}

export function githubStage(): Stage {
  let github: Github;
  let browser: Agent;
  const stage = { logged: [] as object[], now: 0 } as unknown as Stage & { github: Github; alice: GithubAccount };
  beforeAll(async () => {
    github = await startGithub();
    github.now = () => stage.now;
    browser = new Agent({ connect: { ca: github.ca } });
    stage.github = github;
  });
  afterAll(async () => {
    await browser.close();
    await github.close();
  });
  beforeEach(() => {
    stage.now = Date.now();
    stage.logged.length = 0;
    github.instead.clear();
    github.grantedScopes = undefined;
    github.tokenLife = undefined;
    github.showsAllMemberships = false;
    stage.alice = newAlice();
    github.visitor = stage.alice;
    github.news();
  });
  const follow = async (url: URL): Promise<URL> => {
    const page = await request(url, { dispatcher: browser });
    await page.body.dump();
    return new URL(String(page.headers['location']));
  };
  const callbackOf: Stage['callbackOf'] = async (gh) => {
    const { url, challenge } = await gh.begin();
    return { url, challenge, callback: await follow(url) };
  };
  const signIn: Stage['signIn'] = async (gh) => {
    const { callback, challenge } = await callbackOf(gh);
    return gh.finish(callback, challenge);
  };
  const signedIn: Stage['signedIn'] = async () => {
    const gh = stage.provider();
    const first = await signIn(gh);
    github.news();
    return { gh, first, recheck: () => gh.recheck(first.subject, first.refreshToken ?? '') };
  };
  return Object.assign(stage, { follow, callbackOf, signIn, signedIn, provider: providerAt(stage) });
}

const newAlice = (): GithubAccount => ({
  id: 583_231,
  login: 'alice',
  emails: [
    { email: 'old@example.com', primary: false, verified: true },
    { email: 'alice@example.com', primary: true, verified: true },
  ],
  memberships: [
    { state: 'active', organization: ACME },
    { state: 'active', organization: OTHER },
  ],
  teams: [
    { id: 7001, slug: 'platform', organization: ACME },
    { id: 7002, slug: 'admins', organization: OTHER },
  ],
  suspended: false,
  unauthorized: [],
});

const providerAt =
  (stage: Stage): Stage['provider'] =>
  ({ organizations = ['acme'], ...options } = {}, mapping = {}) => {
    const compiled = compileMapping({
      name: 'gh',
      usernamePrefix: 'gh:',
      groupsPrefix: 'gh:',
      username: 'claims.login',
      groups: 'claims.teams.map(t, t.organization + "/" + t.slug)',
      extra: {},
      emailVerified: 'claim',
      rules: [],
      userRules: [],
      ...mapping,
    });
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.reason));
    return createGithubProvider({
      name: 'gh',
      host: stage.github.host,
      ca: () => stage.github.ca,
      clientId: stage.github.clientId,
      clientSecret: () => stage.github.clientSecret,
      ...(organizations === 'all' ? {} : { organizations }),
      redirectUri: CALLBACK,
      mapping: compiled.value,
      clock: { nowMs: () => stage.now },
      log: { info: (fields, message) => void stage.logged.push({ ...fields, message }) },
      ...options,
    });
  };

export const rejection = (promise: Promise<unknown>): Promise<AppError> =>
  promise.then(
    () => {
      throw new Error('nothing was refused');
    },
    (error: AppError) => error,
  );

export const tokenOf = (user: ProviderSignIn): string =>
  (JSON.parse(user.refreshToken ?? '{}') as { accessToken: string }).accessToken;
