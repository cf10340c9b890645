/**
 * What users are told where a fresh sign-in is not proven: what needs it, what the provider said, and what else they can
 * do for that purpose; and before they need one, that they may not be able to prove it. Each way that a text names works:
 * tests walk them as they are printed.
 */
import type { AccessRole } from '../access/role.ts';
import { mayApprove } from '../access/role.ts';
import type { Unproven } from './auth-time.ts';
import type { Account, Identity } from './identity.ts';

/** What needs a fresh sign-in. `client`: an OAuth client asked for one (`prompt=login`), which does not say what for. */
export type FreshPurpose = 'revocation' | 'admin' | 'approval' | 'request' | 'step-up' | 'device' | 'client';

const NEEDED: Readonly<Record<FreshPurpose, string>> = {
  revocation: 'Your sessions were ended, so your next sign-in has to be a fresh one',
  admin: 'A change by an admin needs a fresh sign-in',
  approval: 'A decision about an access request needs a fresh sign-in',
  request: 'This role is for users who have just signed in',
  'step-up': 'A step-up needs a fresh sign-in',
  device: 'A sign-in by a code has to be a fresh one',
  client: 'The program that you use asked for a fresh sign-in',
};

/** They need no sign-in, and are audited like those of an admin. */
export const ON_THE_SERVER = 'portcullis revoke --config FILE and portcullis lock --config FILE';

const ADMIN = `on the server’s own shell, ${ON_THE_SERVER} need no sign-in, and admin.freshness: off in the configuration ends the requirement`;
const APPROVAL =
  'another approver whose sign-in is fresh can decide, and access.freshness: off in the configuration ends the requirement';
const REQUEST = 'a role without freshness in access.roles can be asked for after any sign-in';

/** @param of whose sign-in it is; undefined where the provider has not named the user */
function otherWays(purpose: FreshPurpose, provider: string, of: Account | undefined): string {
  switch (purpose) {
    case 'revocation': {
      const lift = liftCommand(provider, of);
      return `your platform team can lift it for your account once it is certain that the device is yours: on the server’s own shell, ${lift} --config FILE, or an admin whose own sign-in is fresh, ${lift}`;
    }
    case 'admin':
      return ADMIN;
    case 'approval':
      return APPROVAL;
    case 'request':
      return REQUEST;
    case 'step-up':
      return `for a change by an admin: ${ADMIN}; for a decision about an access request: ${APPROVAL}; for a request to a cluster: without the rule in stepUp it needs none`;
    case 'device':
      return 'sign in by a browser on the same machine: portcullis login';
    case 'client':
      return `sign in without asking for it; for a change by an admin: ${ADMIN}`;
  }
}

/** Returns the command of an admin that lets an account sign in without a fresh sign-in; the server's own shell adds `--config`. */
export const liftCommand = (provider: string, account: Account | undefined): string =>
  `portcullis unlock ${argument(provider, account)} --fresh --reason REASON`;

/**
 * The account as one argument of a shell. Its subject is the provider's text, and the command line gets the message in
 * characters that RFC 6749 allows: where either would change it, the placeholder stands for it.
 */
function argument(provider: string, account: Account | undefined): string {
  if (account === undefined || !/^[!#-&(-[\]-_a-~ ]{1,200}$/.test(account)) return `${provider}/SUBJECT`;
  return /^[A-Za-z0-9_/:.,@+-]+$/.test(account) ? account : `'${account}'`;
}

const said = (provider: string, { defect, seen }: Unproven, now: number): string => {
  const moment = (): string => `${provider} says that you signed in at ${isoOf(seen)} (auth_time ${seen})`;
  switch (defect) {
    case 'stale':
      return `${moment()}, which is too long ago`;
    case 'future':
      return `${moment()}, and the clock of this server is ${Math.round(Number(seen) - now)} seconds behind that`;
    case 'missing':
      return `${provider} does not say when you signed in: ${seen === 'absent' ? 'its ID token has no auth_time' : `auth_time in its ID token is ${seen}`}`;
    case 'malformed':
      return malformed(provider, seen);
  }
};

const malformed = (provider: string, seen: string): string =>
  `the ID token of ${provider} has ${seen} as auth_time, and not a number of seconds since 1970`;

const isoOf = (seen: string): string => new Date(Number(seen) * 1000).toISOString().replace('.000Z', 'Z');

/** What comes before the other ways: whether the same can succeed at all. */
const SAME_AGAIN: Readonly<Record<Unproven['defect'], (provider: string) => string>> = {
  stale: (provider) => `Sign out at ${provider}, then start again. If that does not help: `,
  future: (provider) =>
    `To try again does not help while that moment is ahead of this server: the clocks do not agree, or ${provider} sends a wrong one. Until then: `,
  missing: (provider) =>
    `To try again does not help until the ID tokens of ${provider} have an auth_time, which is set at ${provider}. Until then: `,
  malformed: () => '',
};

export interface FreshSignIn {
  /** Its configured name. */
  readonly provider: string;
  readonly purpose: FreshPurpose;
  /** Of the user who signed in; absent where that is not known. */
  readonly account?: Account | undefined;
  /** Epoch seconds. */
  readonly now: number;
}

/** Returns the message for a user whose sign-in had to be fresh, and is not proven to be. */
export function unprovenMessage(unproven: Unproven, { provider, purpose, account, now }: FreshSignIn): string {
  if (unproven.defect === 'malformed') return malformedMessage(provider, unproven.seen);
  const ways = `${SAME_AGAIN[unproven.defect](provider)}${otherWays(purpose, provider, account)}`;
  return `${NEEDED[purpose]}, and it is not proven: ${said(provider, unproven, now)}. ${capital(ways)}.`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Returns the message for a user of a provider whose ID tokens cannot be read, at whatever sign-in. */
export const malformedMessage = (provider: string, seen: string): string =>
  `${capital(malformed(provider, seen))}, so its users cannot sign in. To try again does not help: your platform team has to have ${provider} send that number, or no auth_time. Until then, on the server’s own shell, ${ON_THE_SERVER} need no sign-in.`;

/** Returns the message for a user of a provider that proves nothing by its type or by `providers[].freshness`. */
export const unprovableMessage = (provider: string, purpose: Exclude<FreshPurpose, 'revocation'>): string =>
  `${NEEDED[purpose]}, and ${provider} does not say when you signed in there. Sign in with another provider, if there is one. Otherwise: ${otherWays(purpose, provider, undefined)}.`;

/** The parts of the configuration that say who needs a fresh sign-in. */
export interface FreshnessConfig {
  readonly admin: { readonly groups: readonly string[]; readonly freshness: number | 'off' };
  readonly access: {
    readonly freshness: number | 'off';
    readonly roles: readonly Pick<AccessRole, 'approval'>[];
  };
  readonly providers: readonly { readonly name: string; readonly freshness?: string }[];
}

/** A session, as far as it matters here. */
interface Proof {
  readonly provider: string;
  readonly identity: Pick<Identity, 'groups'>;
  readonly authTime?: number;
  readonly delegation?: unknown;
}

/**
 * Returns the warning for an admin or approver whose provider was asked when they signed in, and has not said it: they
 * may be unable to revoke, and would learn of it with a stolen laptop in mind. Undefined for everyone else, and where an
 * ordinary sign-in does not ask (`providers[].freshness` is `login` or `none`).
 */
export function unprovenWarning(
  { provider, identity, authTime, delegation }: Proof,
  { admin, access, providers }: FreshnessConfig,
): string | undefined {
  const setting = providers.find(({ name }) => name === provider)?.freshness ?? 'none';
  const isAsked = setting === 'auto' || setting === 'max_age';
  if (authTime !== undefined || delegation !== undefined || !isAsked) return undefined;
  const isAdmin = admin.freshness !== 'off' && admin.groups.some((group) => identity.groups.includes(group));
  const isApprover = access.freshness !== 'off' && access.roles.some((role) => mayApprove(role, identity));
  if (!isAdmin && !isApprover) return undefined;
  const without = [...(isAdmin ? ['revoke, lock or unlock'] : []), ...(isApprover ? ['approve'] : [])].join(', nor ');
  const shell = isAdmin ? ` Without a fresh sign-in, ${ON_THE_SERVER} work on the server’s own shell.` : '';
  return `${provider} did not say when you signed in, so you may not be able to ${without} when you need to.${shell}`;
}
