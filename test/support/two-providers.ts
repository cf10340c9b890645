/** The server's pages before two providers that may lie, both with real clients of this project: `corp`, and `evil` that pretends to be it. */
import { compileMapping } from '../../src/core/identity/claims.ts';
import { type ClaimsProvider } from '../../src/core/identity/types.ts';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { createVendorProvider } from '../../src/idp/vendors/vendors.ts';
import {
  annotation,
  browserAt,
  locationOf,
  openStage,
  PUBLIC_URL,
  sessionsOf,
  type Browser,
  type Stage,
} from '../unit/web/harness.ts';
import { CLIENT } from './vendor-idp.ts';

type Mapping = Partial<ClaimsProvider>;

function provider(name: string, issuer: string, mapping: Mapping): IdentityProvider {
  const compiled = compileMapping({
    name,
    usernamePrefix: `${name}:`,
    groupsPrefix: `${name}:`,
    username: 'claims.preferred_username',
    groups: 'claims.groups',
    extra: {},
    emailVerified: 'claim',
    rules: [],
    userRules: [],
    ...mapping,
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.reason));
  return createVendorProvider({
    type: 'oidc',
    name,
    issuer,
    clientId: CLIENT.id,
    clientSecret: () => CLIENT.secret,
    hosts: [],
    redirectUri: `${PUBLIC_URL}/callback/${name}`,
    mapping: compiled.value,
    clock: { nowMs: Date.now },
    wantsGroups: true,
    maxGroups: 1000,
  });
}

export interface Visit {
  readonly stage: Stage;
  readonly browser: Browser;
}

export async function openPages(issuers: Readonly<Record<string, string>>, mapping: Mapping = {}): Promise<Visit> {
  const providers = new Map(Object.entries(issuers).map(([name, issuer]) => [name, provider(name, issuer, mapping)]));
  const stage = await openStage({ change: (deps) => ({ ...deps, providers }) });
  return { stage, browser: browserAt(stage) };
}

/** From the front page to the provider. @returns its authorization URL */
export async function start({ browser }: Visit, name = 'corp'): Promise<URL> {
  return new URL(locationOf(await browser.get(`/login/start?provider=${name}&to=me`).expect(303)));
}

/** At the provider, which asks no question. @returns the callback's URL */
export async function goThere(url: URL): Promise<URL> {
  const answer = await fetch(url, { redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? 'about:blank');
}

/** Back at our callback and as far on as that leads. */
export async function comeBack({ browser }: Visit, callback: URL) {
  const first = await browser.get(callback.pathname + callback.search);
  return first.status === 303 ? browser.get(locationOf(first)) : first;
}

type Page = Awaited<ReturnType<typeof comeBack>>;

/** What became of a sign-in: what the page and the audit log say, and what is left behind. */
export async function outcomeOf({ stage, browser }: Visit, page: Page): Promise<ReturnType<typeof refused>> {
  const event = stage.named('sign-in-refused').at(-1);
  const id = event?.auditID ?? 'no line';
  return {
    status: page.status,
    reason: annotation(event, 'reason'),
    saysRequestId: page.text.includes('role="alert"') && page.text.includes(id) && page.headers['x-request-id'] === id,
    sessions: await sessionsOf(stage),
    signedIn: locationOf(await browser.get('/me')) !== '/login?to=me',
  };
}

/**
 * A page with a request id, an audit event under that id with the reason, no user signed in, and no session left behind.
 * @param sessions of earlier sign-ins of this browser
 */
export const refused = (status: number, reason: string | undefined, sessions = 0) => ({
  status,
  reason,
  saysRequestId: true,
  sessions,
  signedIn: sessions > 0,
});

/** The own page of a user who was signed in; the page where it ended for any other. */
export async function landingOf({ browser }: Visit, page: Page): Promise<string> {
  return page.status === 303 ? (await browser.get(locationOf(page))).text : page.text;
}
