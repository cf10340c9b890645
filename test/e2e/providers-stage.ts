/**
 * One server with a provider of every type besides the demo's, in front of the embedded cluster, where developers have rights by their
 * group, whichever provider says that they are. Lives are short: a token's a third of a minute, a re-check's a second.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../src/config/config.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { startGithub, type Github, type GithubAccount } from '../support/github-api.ts';
import { CliContext } from '../support/kubectl.ts';
import { CLIENT, startVendorIdp, type VendorIdp, type VendorTraits } from '../support/vendor-idp.ts';

/**
 * Seconds. Longer than the server takes a provider's response for fresh (10 s), as every real token's, so that each renewal asks.
 */
const ACCESS_TOKEN = 20;
const TENANT = '11111111-2222-3333-4444-555555555555';
const OID = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const SCOPES = ['openid', 'profile', 'email', 'offline_access'];
const ACME = { id: 501, login: 'acme' };

/** Each is named as its type. */
export type VendorName = 'oidc' | 'okta' | 'keycloak' | 'entra' | 'google';

export interface ProvidersStage {
  readonly instance: RunningDemo;
  readonly vendors: Readonly<Record<VendorName, VendorIdp>>;
  readonly github: Github;
  readonly githubUser: GithubAccount;
  /** Administers server and cluster; signed in at the demo's own provider. */
  readonly root: CliContext;
  /** A user with a browser. @param name of their machine */
  user(name: string): TestUser;
  stop(): Promise<void>;
}

/** A user's machine, with and without a browser. */
export interface TestUser {
  /** Signs in at a provider as the user would, by a browser. Throws where that fails. */
  login(provider: string): Promise<void>;
  /** No user is at the screen: no browser is opened. */
  readonly unattended: CliContext;
  readonly cacheDir: string;
}

/** What each says of the same alice. */
const TRAITS: Readonly<Record<VendorName, Omit<VendorTraits, 'callback'>>> = {
  oidc: { scopes: SCOPES, claims: { preferred_username: 'alice', groups: ['developers'] } },
  // Okta's own server gives thin ID tokens: groups come at UserInfo.
  okta: {
    scopes: SCOPES,
    claims: { preferred_username: 'alice', groups: ['developers'] },
    graceUses: 1,
    userInfoOnly: ['groups'],
  },
  keycloak: { scopes: SCOPES, claims: { preferred_username: 'alice', groups: ['developers'] }, graceUses: 1 },
  entra: {
    scopes: SCOPES,
    claims: { tid: TENANT, oid: OID, preferred_username: 'alice@example.com', groups: ['developers'] },
  },
  google: {
    scopes: ['openid', 'profile', 'email'],
    claims: { email: 'alice@example.com', email_verified: true, hd: 'example.com' },
    refreshTokenFor: ({ access_type, prompt }) => access_type === 'offline' && prompt === 'consent',
  },
};

const newGithubUser = (): GithubAccount => ({
  id: 583_231,
  login: 'alice',
  emails: [{ email: 'alice@example.com', primary: true, verified: true }],
  memberships: [{ state: 'active', organization: ACME }],
  teams: [{ id: 7001, slug: 'developers', organization: ACME }],
  suspended: false,
  unauthorized: [],
});

export async function startProvidersStage(): Promise<ProvidersStage> {
  const github = await startGithub();
  const githubUser = newGithubUser();
  github.visitor = githubUser;
  let vendors: ProvidersStage['vendors'] | undefined;
  const instance = await startTestInstance({
    async file(settings, running) {
      vendors = await startVendors(running.urls.web);
      const own = settings['providers'] as readonly object[];
      const configured = await providerSettings(running, vendors, github);
      // Each of them, Google and GitHub too, puts users into the groups that the demo's cluster knows, the admins' among them.
      const admin = { ...(settings['admin'] as object), freshness: 'off' };
      const access = { ...(settings['access'] as object), freshness: 'off' };
      return { ...settings, admin, access, providers: [...own, ...configured] };
    },
    loaded: (config) => compressed(config, vendors),
  });
  const root = new CliContext(instance, 'root');
  if (vendors === undefined) throw new Error('there are no vendors');
  const open: CliContext[] = [root];
  const allVendors = Object.values(vendors);
  return {
    instance,
    vendors,
    github,
    githubUser,
    root,
    user: (name) => newUser(instance, name, open),
    async stop() {
      for (const machine of open) machine.close();
      await instance.stop();
      await Promise.all([...allVendors.map((vendor) => vendor.close()), github.close()]);
    },
  };
}

async function startVendors(web: string): Promise<ProvidersStage['vendors']> {
  const start = (name: VendorName): Promise<VendorIdp> =>
    startVendorIdp({ ...TRAITS[name], callback: `${web}/callback/${name}` });
  const [oidc, okta, keycloak, entra, google] = await Promise.all([
    start('oidc'),
    start('okta'),
    start('keycloak'),
    start('entra'),
    start('google'),
  ]);
  return { oidc, okta, keycloak, entra, google };
}

async function providerSettings(
  { files }: RunningDemo,
  vendors: ProvidersStage['vendors'],
  github: Github,
): Promise<readonly object[]> {
  const at = (name: string): string => join(files.directory, name);
  await writeFile(at('vendor-secret'), CLIENT.secret);
  await writeFile(at('github-secret'), github.clientSecret);
  await writeFile(at('github.crt'), github.ca);
  // The embedded cluster knows one group of developers, so all of them have it.
  const groupsPrefix = 'demo:';
  const client = { clientId: CLIENT.id, clientSecretFile: at('vendor-secret'), groupsPrefix };
  const claims = { username: 'claims.preferred_username', groups: 'claims.groups' };
  return [
    { name: 'oidc', type: 'oidc', issuer: vendors.oidc.issuer, ...client, ...claims },
    { name: 'okta', type: 'okta', issuer: vendors.okta.issuer, ...client },
    { name: 'keycloak', type: 'keycloak', issuer: vendors.keycloak.issuer, ...client },
    { name: 'entra', type: 'entra', tenant: TENANT, ...client },
    {
      name: 'google',
      type: 'google',
      ...client,
      // It says nothing of groups, but whose account it is.
      groups: '["developers"]',
      rules: [{ expression: 'claims.hd == "example.com"', message: 'Sign in with your example.com account.' }],
    },
    {
      name: 'github',
      type: 'github',
      host: github.host,
      organizations: [ACME.login],
      groupsPrefix,
      groups: 'claims.teams.filter(t, t.organization == "acme").map(t, t.slug)',
      clientId: github.clientId,
      clientSecretFile: at('github-secret'),
      caFile: at('github.crt'),
    },
  ];
}

/** Google's and Entra's issuers are fixed by their type, and no file may give these lives. */
function compressed(config: Config, vendors: ProvidersStage['vendors'] | undefined): Config {
  const providers = config.providers.map((provider) => {
    const { type } = provider;
    const fixed = type === 'google' || type === 'entra' ? vendors?.[type].issuer : undefined;
    return fixed === undefined ? provider : { ...provider, issuer: fixed };
  });
  const sessions = { ...config.sessions, accessToken: ACCESS_TOKEN, recheck: 1 };
  return { ...config, providers, sessions, limits: { ...config.limits, signInsPerMinute: 1000 } };
}

function newUser(instance: RunningDemo, name: string, open: CliContext[]): TestUser {
  // The browser goes to the local GitHub too, and Chromium would learn of its CA in another way.
  const cacheDir = join(instance.files.directory, `cache-of-${name}`);
  const user = { PORTCULLIS_DEMO_USER: 'alice', NODE_EXTRA_CA_CERTS: join(instance.files.directory, 'github.crt') };
  const attended = new CliContext(instance, name, user);
  const unattended = new CliContext(instance, name, { ...user, PORTCULLIS_NO_BROWSER: '1' });
  open.push(attended, unattended);
  return {
    unattended,
    cacheDir,
    async login(provider) {
      const signedIn = await attended.portcullis('login', '--provider', provider);
      if (signedIn.code !== 0) throw new Error(signedIn.all);
    },
  };
}
