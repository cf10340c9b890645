/** Users who ask for a role and who approve it: several replicas on a real Redis, and what each user has and does at each of them. */
import { writeFile } from 'node:fs/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Config } from '../../src/config/config.ts';
import type { Settings, TestInstance } from './instance.ts';
import type { CliContext, Finished } from './kubectl.ts';
import { signInAtProvider } from './pages-browser.ts';

export const ROLE = 'shop-admins';
/** What the role gives; the cluster's RBAC binds rights to it. */
export const GROUP = 'shop:admins';
export const REASON = 'INC-4711: the ledger is stuck';

/** Rights of the group in the namespace `payments`, and to act there as a user who has none of their own. */
export const BINDINGS = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: shop-admin }
rules:
  - { apiGroups: [''], resources: ['*'], verbs: ['*'] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: shop-admins, namespace: payments }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shop-admin }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: '${GROUP}' }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: helper, namespace: payments }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shop-admin }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: 'demo:helper' }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: as-helper }
rules:
  - { apiGroups: [''], resources: ['users'], resourceNames: ['demo:helper'], verbs: ['impersonate'] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: as-helper }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: as-helper }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: '${GROUP}' }]
`;

/** @param hook file with the address of the receiver of notices */
const accessSettings = (hook: string) => ({
  // No one listens there: whatever else is done must not wait for it.
  notify: [{ name: 'down', format: 'slack', urlFile: hook }],
  roles: [
    {
      name: ROLE,
      description: 'Everything in the namespace payments',
      groups: [GROUP],
      requesters: ['demo:developers'],
      approval: { groups: ['demo:admins'] },
      longest: '1h',
      reason: 'INC-[0-9]+.*',
    },
  ],
});

export interface AccessReplicas {
  readonly instance: TestInstance;
  /** Addresses of the replicas' api listeners, by name. */
  readonly apis: ReadonlyMap<string, string>;
}

export interface AccessReplicasOptions {
  readonly names: readonly [string, ...string[]];
  /** Further settings of the file. */
  readonly settings?: (before: Settings) => Settings;
  /** What no file may say. */
  readonly change?: (config: Config) => Partial<Config>;
}

/** Starts replicas of an instance on Redis, the first in place of its server, with a role that developers may ask for. They end with the instance. */
export async function startAccessReplicas(
  instance: TestInstance,
  { names: [first, ...others], settings = () => ({}), change = () => ({}) }: AccessReplicasOptions,
): Promise<AccessReplicas> {
  const hook = `${instance.files.directory}/hook`;
  await writeFile(hook, 'https://127.0.0.1:9/hook');
  await instance.restart({
    file: (before) => ({ ...before, access: accessSettings(hook), ...settings(before) }),
    loaded: (config) => ({ ...config, ...change(config) }),
    name: first,
  });
  const apis = new Map([[first, `https://localhost:${instance.server.ports.api}`]]);
  for (const name of others) apis.set(name, `https://localhost:${(await instance.replica({ name })).ports.api}`);
  return { instance, apis };
}

/** Runs kubectl at each replica. @returns what came of it, by the name of the replica */
export async function atEach(
  { apis }: Pick<AccessReplicas, 'apis'>,
  user: CliContext,
  ...args: string[]
): Promise<Readonly<Record<string, Finished>>> {
  const asked = [...apis].map(async ([name, api]) => [name, await user.kubectl('--server', api, ...args)] as const);
  return Object.fromEntries(await Promise.all(asked));
}

export const codesOf = (finished: Readonly<Record<string, Finished>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(finished).map(([name, { code }]) => [name, code]));

/** The same for all replicas. */
export const each = <T>({ apis }: Pick<AccessReplicas, 'apis'>, value: T): Readonly<Record<string, T>> =>
  Object.fromEntries([...apis.keys()].map((name) => [name, value]));

/**
 * Asks for the role on the pages, for a session of a kubectl.
 * @param context of a browser in which the user is signed in
 * @param order.device name that the session has there
 * @param order.seconds as the form has them
 * @returns the page of the request
 */
export async function askOnPage(
  context: BrowserContext,
  web: string,
  { device, seconds }: { readonly device: string; readonly seconds: string },
): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${web}/access`);
  await page.getByRole('link', { name: `Request ${ROLE}` }).click();
  await page.getByLabel('For how long').selectOption(seconds);
  await page.getByLabel(/^Reason/).fill(REASON);
  await page.getByRole('radio', { name: device }).check();
  await page.getByRole('button', { name: 'Send the request' }).click();
  await page.waitForURL(/\/access\/[\w-]{22}$/);
  return page;
}

/**
 * Approves in a profile that no one has signed in with, as a colleague who got the link does: signs in, reads, approves.
 * @returns the page, and what it said before the decision
 */
export async function approveFreshly(
  browser: Browser,
  link: string,
  user: string,
): Promise<{ readonly page: Page; readonly shown: string }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(link);
  const chooser = page.getByRole('link', { name: 'Sign in with demo' });
  if (await chooser.isVisible()) await chooser.click();
  await signInAtProvider(page, user);
  await page.waitForURL(link);
  const shown = (await page.textContent('main')) ?? '';
  await page.getByRole('button', { name: 'Approve' }).click();
  await page
    .getByRole('status')
    .filter({ hasText: /granted/i })
    .waitFor();
  return { page, shown };
}
