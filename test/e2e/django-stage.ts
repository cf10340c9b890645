/**
 * One server with Django OAuth Toolkit as its provider, three times: as it comes, with a rule on the claim `active`, and with a
 * client whose secret a test changes. In front of the demo's embedded cluster, where developers have rights by their group.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { USERS } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { Visitor } from '../../demo/visitor.ts';
import { startTestInstance } from '../support/instance.ts';
import { startDjangoIdp, type DjangoIdp } from '../support/django-idp.ts';
import { cachedSession } from '../support/cli-cache.ts';
import { CliContext } from '../support/kubectl.ts';

/** Seconds. Longer than a provider's response is taken for fresh (10 s), so that each renewal asks. */
const ACCESS_TOKEN = 15;
const SIGN_IN_MS = 15_000;
/** With what providers compare as raw text, and what is encoded in one way by some and in another by others. */
export const SECRET = 'a-secret_with.dots-and_more.0123456789';
const PROVIDERS = ['django', 'ruled', 'secret'] as const;
export type DjangoProvider = (typeof PROVIDERS)[number];

export interface DjangoStage {
  readonly instance: RunningDemo;
  readonly django: DjangoIdp;
  /** Administers the server and the cluster; signs in at the demo's own provider. */
  readonly root: CliContext;
  /** A separate browser for a user. */
  browser(user: string): Visitor;
  /**
   * Signs a user in by a browser, through Django's own pages.
   * @throws Error where that fails
   */
  signIn(user: string, provider: DjangoProvider): Promise<SignedIn>;
  stop(): Promise<void>;
}

export interface SignedIn {
  /** No browser is opened here. */
  readonly cli: CliContext;
  /** The session's id. */
  readonly session: string;
  readonly cacheDir: string;
}

export async function startDjangoStage(): Promise<DjangoStage> {
  const django = await startDjangoIdp();
  setDefaultCACertificates([...getCACertificates(), django.ca]);
  const open: CliContext[] = [];
  const closeAll = async (): Promise<void> => {
    for (const cli of open) cli.close();
    await django.close();
  };
  try {
    const instance = await startTestInstance({
      async file(settings, running) {
        await prepare(django, running);
        const own = settings['providers'] as readonly object[];
        return { ...settings, providers: [...own, ...(await providerSettings(django, running))] };
      },
      loaded: (config) => ({
        ...config,
        sessions: { ...config.sessions, accessToken: ACCESS_TOKEN, recheck: 1 },
        limits: { ...config.limits, signInsPerMinute: 1000 },
      }),
    });
    const newCli = (name: string, extra: NodeJS.ProcessEnv = {}): CliContext => {
      const cli = new CliContext(instance, name, extra);
      open.push(cli);
      return cli;
    };
    let count = 0;
    return {
      instance,
      django,
      root: newCli('root'),
      browser(user) {
        const account = USERS.find(({ name }) => name === user);
        if (account === undefined) throw new Error(`no user is called ${user}`);
        return new Visitor(account);
      },
      async signIn(user, provider) {
        const name = `${user}-${provider}-${(count += 1)}`;
        const cacheDir = join(instance.files.directory, `cache-of-${name}`);
        const settings = {
          PORTCULLIS_DEMO_USER: user,
          PORTCULLIS_CACHE_DIR: cacheDir,
          NODE_EXTRA_CA_CERTS: join(instance.files.directory, 'django.crt'),
        };
        const login = newCli(name, settings).openPortcullis('login', '--provider', provider);
        // Where the browser ends at an error page, the command waits for another try.
        const giveUp = setTimeout(() => login.child.kill(), SIGN_IN_MS);
        const signedIn = await login.finished.finally(() => clearTimeout(giveUp));
        if (signedIn.code !== 0) throw new Error(signedIn.all);
        const cli = newCli(name, { ...settings, PORTCULLIS_NO_BROWSER: '1' });
        return { cli, cacheDir, session: (await cachedSession(cacheDir)).person.sessionId };
      },
      async stop() {
        await instance.stop();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Users who have the passwords that the demo's browser types, all of them developers; and a client for each provider. */
async function prepare(django: DjangoIdp, { urls }: RunningDemo): Promise<void> {
  for (const { name, password } of USERS) await django.addUser({ name, password, groups: ['developers'] });
  for (const provider of PROVIDERS) {
    const callback = `${urls.web}/callback/${provider}`;
    await django.addClient({ id: provider, secret: SECRET, callback, skipConsent: provider !== 'django' });
  }
}

async function providerSettings(django: DjangoIdp, { files }: RunningDemo): Promise<readonly object[]> {
  const at = (name: string): string => join(files.directory, name);
  await writeFile(at('django.crt'), django.ca);
  await writeFile(at('django-secret'), SECRET);
  return PROVIDERS.map((name) => ({
    name,
    type: 'oidc',
    issuer: django.issuer,
    caFile: at('django.crt'),
    clientId: name,
    clientSecretFile: at('django-secret'),
    // The embedded cluster knows one group of developers, so all of them have it.
    groupsPrefix: 'demo:',
    username: 'claims.preferred_username',
    groups: 'claims.groups',
    ...(name === 'ruled' ? { rules: [{ expression: 'claims.active', message: 'Your account is disabled.' }] } : {}),
  }));
}
