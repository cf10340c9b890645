/** Every page of the server: which users may see it, how one opens it, and what is at its top. */
import type { Page } from 'playwright-core';
import { HOSTILE_DELEGATED } from '../support/pages-delegated.ts';
import type { PagesStage, Who } from '../support/pages-stage.ts';

export interface PageRow {
  /** Also of its pictures. */
  readonly name: string;
  readonly who: readonly Who[];
  /** A path, or the steps to a page that is the response to a form. */
  readonly at:
    | string
    | ((stage: PagesStage) => string)
    | { readonly steps: (page: Page, stage: PagesStage) => Promise<void> };
  /** 200 where it is absent. */
  readonly status?: number;
  /** What its `title` and its only `h1` say. */
  readonly title: RegExp;
  readonly heading: RegExp;
}

/** A page whose title and heading are the same text. */
function says(text: string): Pick<PageRow, 'title' | 'heading'> {
  return { title: new RegExp(`^${text} ·`), heading: new RegExp(`^${text}$`) };
}

const everyUser = ['alice', 'root', 'vera'] as const;
const admins = ['root', 'vera'] as const;

async function typeCode(page: Page, code: string, { instance }: PagesStage): Promise<void> {
  await page.goto(`${instance.urls.web}/device`);
  await page.getByLabel('Code').fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
}

const SIGNED_OUT: readonly PageRow[] = [
  { name: 'front', who: ['anonymous'], at: '/', title: /^Sign in/, heading: /^Portcullis$/ },
  { name: 'signed-out', who: ['anonymous'], at: '/?signed-out', title: /^Sign in/, heading: /^Portcullis$/ },
  { name: 'sign-in-done', who: ['anonymous'], at: '/login/done', title: /^Signed in/, heading: /signed in/ },
  {
    name: 'choose-for-kubectl',
    who: ['anonymous'],
    at: {
      steps: async (page, { instance }) => {
        const query = new URLSearchParams({
          client_id: 'portcullis-cli',
          response_type: 'code',
          redirect_uri: 'http://127.0.0.1:9/callback',
          scope: 'kubernetes',
          state: 'A'.repeat(22),
          code_challenge: 'A'.repeat(43),
          code_challenge_method: 'S256',
        });
        await page.goto(`${instance.urls.web}/oauth/authorize?${query.toString()}`);
      },
    },
    ...says('Sign in'),
  },
];

const ERRORS: readonly PageRow[] = [
  { name: 'not-found', who: ['anonymous', 'root'], at: '/nothing-here', status: 404, ...says('Not found') },
  {
    name: 'sign-in-expired',
    who: ['anonymous'],
    at: '/login/finish?state=long-ago',
    status: 400,
    ...says('This sign-in is no longer valid'),
  },
  {
    name: 'unknown-provider',
    who: ['anonymous'],
    at: '/login/start?provider=unknown&to=me',
    status: 404,
    ...says('Not found'),
  },
  {
    // As on a console's host, where no other path is ours.
    name: 'foreign-host',
    who: ['anonymous'],
    at: {
      steps: async (page, { instance }) => {
        await page.goto(instance.urls.web.replace('localhost', '127.0.0.1'));
      },
    },
    status: 421,
    ...says('Nothing is served under this name'),
  },
  {
    name: 'provider-away',
    who: ['anonymous'],
    at: '/login/start?provider=by-okta&to=me',
    status: 502,
    ...says('The identity provider is not responding correctly'),
  },
  {
    name: 'refused-client',
    who: ['anonymous'],
    at: '/oauth/authorize?client_id=unknown',
    status: 400,
    ...says('This sign-in is no longer valid'),
  },
  { name: 'admin-forbidden', who: ['alice'], at: '/admin', status: 403, ...says('Not allowed') },
  { name: 'act-forbidden', who: ['vera'], at: '/admin/revoke?kind=all', status: 403, ...says('Not allowed') },
  { name: 'session-gone', who: ['root'], at: '/admin/sessions/gone', status: 404, ...says('Not found') },
  { name: 'receipt-gone', who: ['root'], at: '/admin/revocations/gone', status: 404, ...says('Not found') },
];

const DEVICE: readonly PageRow[] = [
  { name: 'device', who: ['anonymous'], at: '/device', title: /device/i, heading: /^Sign in a device$/ },
  {
    name: 'device-wrong-code',
    who: ['anonymous'],
    at: { steps: (page, stage) => typeCode(page, 'BBBB-BBBB', stage) },
    status: 400,
    title: /device/i,
    heading: /^Sign in a device$/,
  },
  {
    name: 'device-confirm',
    who: ['anonymous'],
    at: { steps: async (page, stage) => typeCode(page, await stage.userCode(), stage) },
    title: /device/i,
    heading: /^Is this your device\?$/,
  },
  {
    name: 'device-refused',
    who: ['anonymous'],
    at: {
      async steps(page, stage) {
        await typeCode(page, await stage.userCode(), stage);
        await page.getByRole('button', { name: 'Deny' }).click();
        await page.waitForURL('**/device/refuse');
      },
    },
    title: /denied/i,
    heading: /denied/i,
  },
];

const STEP_UP: readonly PageRow[] = [
  { name: 'step-up-code', who: ['anonymous'], at: '/step-up', ...says('Confirm with a code') },
  {
    name: 'step-up',
    who: ['anonymous'],
    at: { steps: async (page, stage) => void (await page.goto(await stage.stepUp())) },
    ...says('Is it you\\?'),
  },
  {
    name: 'step-up-denied',
    who: ['anonymous'],
    at: {
      async steps(page, stage) {
        await page.goto(await stage.stepUp());
        await page.getByRole('button', { name: 'Deny' }).click();
        await page.waitForURL('**/deny');
      },
    },
    ...says('Denied'),
  },
  { name: 'step-up-own', who: ['alice'], at: '/step-up/me', ...says('Is it you\\?') },
  { name: 'step-up-done', who: ['anonymous'], at: '/step-up/done', ...says('Confirmed') },
  {
    name: 'step-up-gone',
    who: ['anonymous'],
    at: '/step-up/gone',
    status: 400,
    ...says('This sign-in is no longer valid'),
  },
];

const OWN: readonly PageRow[] = [
  { name: 'my-sessions', who: everyUser, at: '/me', ...says('My sessions') },
  { name: 'end-others', who: ['alice'], at: '/me/end-others', ...says('Sign out everywhere else') },
];

/** What no script of a record's could do is looked at in the title: it would be another one. */
const DELEGATED: readonly PageRow[] = [
  { name: 'own-session', who: ['alice'], at: ({ session }) => `/me/sessions/${session}`, ...says('Session') },
  {
    name: 'own-delegated',
    who: ['alice'],
    at: '/me/sessions/delegated-reviewer',
    title: /^Delegated session ·/,
    heading: /^Delegated to claude\/reviewer$/,
  },
  {
    name: 'own-delegated-hostile',
    who: ['alice'],
    at: `/me/sessions/${HOSTILE_DELEGATED}`,
    title: /^Delegated session ·/,
    heading: /^Delegated to "><script>/,
  },
  { name: 'sessions-delegated', who: admins, at: '/admin?delegated=true&actor=claude', ...says('Users') },
  {
    name: 'session-delegated',
    who: admins,
    at: '/admin/sessions/delegated-reviewer',
    title: /^Session ·/,
    heading: /^Session of demo:alice$/,
  },
  {
    name: 'session-delegated-hostile',
    who: ['root'],
    at: `/admin/sessions/${HOSTILE_DELEGATED}`,
    title: /^Session ·/,
    heading: /^Session of demo:alice$/,
  },
];

const ACCESS: readonly PageRow[] = [
  { name: 'access', who: everyUser, at: '/access', ...says('Access') },
  { name: 'access-form', who: ['alice'], at: '/access?role=shop-admins', ...says('Access') },
  { name: 'access-break-glass', who: ['alice'], at: '/access?role=break-glass', ...says('Access') },
  {
    name: 'access-own',
    who: ['alice'],
    at: ({ access }) => `/access/${access.open}`,
    title: /^Your request ·/,
    heading: /^Your request for shop-admins$/,
  },
  {
    name: 'access-request',
    who: admins,
    at: ({ access }) => `/access/${access.open}`,
    title: /^Access request ·/,
    heading: /^shop-admins for demo:alice$/,
  },
  {
    name: 'access-granted',
    who: ['root'],
    at: ({ access }) => `/access/${access.granted}`,
    title: /^Access request ·/,
    heading: /^db-readers for demo:alice$/,
  },
  {
    name: 'access-ended',
    who: ['alice', 'root'],
    at: ({ access }) => `/access/${access.ended}`,
    title: /^(?:Your|Access) request ·/,
    heading: /break-glass/,
  },
  { name: 'access-gone', who: ['alice'], at: `/access/${'A'.repeat(22)}`, status: 404, ...says('Not found') },
  {
    name: 'access-refused',
    who: ['alice'],
    at: {
      async steps(page, { instance }) {
        await page.goto(`${instance.urls.web}/access?role=shop-admins`);
        await page.getByLabel('Reason').fill('no ticket');
        await page.getByRole('button', { name: 'Send the request' }).click();
        await page.getByRole('alert').waitFor();
      },
    },
    status: 400,
    ...says('Access'),
  },
];

const ADMIN: readonly PageRow[] = [
  { name: 'admin-access', who: admins, at: '/admin/access', ...says('Access') },
  { name: 'admin-access-none', who: ['vera'], at: '/admin/access?state=denied', ...says('Access') },
  { name: 'overview', who: admins, at: '/admin/overview', ...says('Now') },
  { name: 'sessions', who: admins, at: '/admin', ...says('Users') },
  { name: 'sessions-filtered', who: admins, at: '/admin?search=alice&sort=oldest&provider=demo', ...says('Users') },
  { name: 'sessions-none', who: ['root'], at: '/admin?search=nobody-at-all', ...says('Users') },
  { name: 'person', who: admins, at: '/admin/accounts/demo%2Falice', title: /^User/, heading: /demo:alice/ },
  { name: 'person-locked', who: ['root'], at: '/admin/accounts/demo%2Fbob', title: /^User/, heading: /bob/ },
  { name: 'person-hard', who: ['root'], at: '/admin/accounts/demo%2Fhard-0', title: /^User/, heading: /demo:w/ },
  {
    name: 'session',
    who: admins,
    at: ({ session }) => `/admin/sessions/${session}`,
    title: /^Session ·/,
    heading: /^Session of demo:alice$/,
  },
  {
    name: 'session-hard',
    who: ['root'],
    at: '/admin/sessions/hard-0',
    title: /^Session ·/,
    heading: /^Session of demo:w/,
  },
  {
    name: 'revoke',
    who: ['root'],
    at: ({ session }) => `/admin/revoke?kind=session&value=${session}`,
    ...says('Revoke'),
  },
  {
    name: 'revoke-unknown',
    who: ['root'],
    at: '/admin/revoke?kind=account&value=demo%2Falcie&lock=on',
    ...says('Revoke'),
  },
  { name: 'revoke-all', who: ['root'], at: '/admin/revoke?kind=all', ...says('Revoke') },
  {
    name: 'revoke-unconfirmed',
    who: ['root'],
    at: {
      async steps(page, { instance }) {
        await page.goto(`${instance.urls.web}/admin/revoke?kind=account&value=demo%2Froot`);
        await page.getByLabel('Reason').fill('INC-4711');
        await page.getByLabel('Type demo:root to confirm it').fill('root');
        await page.getByRole('button', { name: 'Revoke now' }).click();
        await page.locator('#word:focus[aria-invalid=true]').waitFor();
      },
    },
    status: 400,
    ...says('Revoke'),
  },
  {
    // A blank counts as a reason in a browser, and at the server it does not.
    name: 'kept-form',
    who: ['root'],
    at: {
      async steps(page, { instance }) {
        await page.goto(`${instance.urls.web}/admin/locks`);
        await page.getByLabel('Reason for unlocking demo/bob').fill(' ');
        await page.getByRole('button', { name: 'Unlock demo/bob' }).click();
        await page.locator('#reason:focus[aria-invalid=true]').waitFor();
      },
    },
    status: 400,
    ...says('Invalid request'),
  },
  { name: 'person-many', who: ['root'], at: '/admin/accounts/demo%2Fmany', title: /^User/, heading: /demo:many/ },
  {
    name: 'receipt',
    who: admins,
    at: ({ revocation }) => `/admin/revocations/${revocation}`,
    title: /^Revocation complete/,
    heading: /was cut off at .* in \d+/,
  },
  { name: 'locks', who: admins, at: '/admin/locks', ...says('Locks') },
  { name: 'audit', who: admins, at: '/admin/audit', ...says('Audit log') },
  { name: 'audit-filtered', who: ['root'], at: '/admin/audit?account=demo%2Falice', ...says('Audit log') },
  { name: 'audit-past', who: ['root'], at: '/admin/audit?since=7d&until=2126-01-01', ...says('Audit log') },
  { name: 'audit-none', who: ['root'], at: '/admin/audit?verb=never', ...says('Audit log') },
  { name: 'audit-malformed', who: ['root'], at: '/admin/audit?since=soon', status: 400, ...says('Audit log') },
  {
    name: 'audit-request',
    who: ['root'],
    at: {
      steps: async (page, { instance }) => {
        await page.goto(`${instance.urls.web}/admin/audit?until=2126-01-01`);
        await page.locator('a[href^="/admin/audit?auditId="]').first().click();
        await page.locator('pre.commands').first().waitFor();
      },
    },
    ...says('Audit log'),
  },
  { name: 'drill', who: admins, at: '/admin/drill', ...says('Drill') },
];

export const PAGES: readonly PageRow[] = [
  ...SIGNED_OUT,
  ...ERRORS,
  ...DEVICE,
  ...STEP_UP,
  ...OWN,
  ...DELEGATED,
  ...ACCESS,
  ...ADMIN,
];
