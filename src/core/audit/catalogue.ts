/**
 * The catalogue of the audit log: every event of Portcullis itself. Writers and readers (the live view, `audit query`,
 * the reference page, the alerts) take the names from here, so that they cannot diverge.
 */
import type { AuditFact } from './annotations.ts';

/** The chapter of an event or an annotation in the reference. */
export type AuditChapter =
  | 'Signing in'
  | 'Sessions and credentials'
  | 'Access requests and step-up'
  | 'Revocation'
  | 'Administration'
  | 'Consoles'
  | 'Portcullis itself'
  | 'The audit log itself';

export interface CatalogueEntry {
  readonly chapter: AuditChapter;
  /** When it is written, as text for a security officer. */
  readonly when: string;
  /** The value of `responseStatus.code`. */
  readonly code: string;
  /** Annotations besides `event`; each may be absent if it would be empty. */
  readonly facts: readonly AuditFact[];
}

const received = 'HTTP status that the caller received';
const TWO_ADMINS = ['approval', 'asked-by', 'asked-by-account'] as const;
/** Of the end of a session. */
const ENDED = ['account', 'session', 'provider', 'delegated-session', 'actor', 'reason', 'client', 'target'] as const;
const always = '200';
/** Of a decision about an access request. */
const ASKED = ['account', 'session', 'provider', 'grant-id', 'role', 'reason', 'asked-by', 'asked-by-account'] as const;

export const PORTCULLIS_EVENTS = {
  'sign-in': {
    chapter: 'Signing in',
    when: 'a user has signed in, and a session was opened',
    code: '303',
    facts: ['account', 'session', 'provider', 'client', 'fresh', 'auth-time', 'device', 'device-name'],
  },
  'sign-in-refused': {
    chapter: 'Signing in',
    when: 'a sign-in failed: because of a rule, a lock, the provider, a limit, or an invalid request',
    code: received,
    facts: ['account', 'provider', 'reason', 'client', 'device', 'count', 'clock-skew', 'auth-time'],
  },
  'sign-ins-displaced': {
    chapter: 'Signing in',
    when: 'login transactions have used up their part of the store, and new ones displaced older ones; at most once a minute for each kind',
    code: always,
    facts: ['replica', 'artefact', 'count'],
  },
  'workload-exchange': {
    chapter: 'Signing in',
    when: 'a workload’s own token was exchanged for one of ours',
    code: always,
    facts: ['account', 'session', 'provider', 'grant-type', 'audience', 'client'],
  },
  'workload-refused': {
    chapter: 'Signing in',
    when: 'a workload’s token was not exchanged',
    code: received,
    facts: ['account', 'session', 'provider', 'reason', 'client'],
  },
  refresh: {
    chapter: 'Sessions and credentials',
    when: 'an access token was issued, including the first one of a session',
    code: always,
    facts: ['account', 'session', 'provider', 'grant-type', 'audience', 'client', 'delegated-session', 'actor'],
  },
  'refresh-refused': {
    chapter: 'Sessions and credentials',
    when: 'an access token was requested and not issued',
    code: received,
    facts: ['account', 'session', 'provider', 'reason', 'client', 'delegated-session', 'actor', 'clock-skew'],
  },
  'identity-changed': {
    chapter: 'Sessions and credentials',
    when: 'the provider returned other groups or another name for a user with a session; earlier tokens are rejected from now on',
    code: always,
    facts: ['account', 'session', 'provider', 'version'],
  },
  delegated: {
    chapter: 'Sessions and credentials',
    when: 'a user, or a registered client for them, has made a delegated session',
    code: '201',
    facts: ['account', 'session', 'provider', 'delegated-session', 'actor', 'clusters', 'rights'],
  },
  'delegation-refused': {
    chapter: 'Sessions and credentials',
    when: 'a delegated session was not made, a user’s token was not exchanged, or a request to list or end delegated sessions was rejected',
    code: received,
    facts: ['account', 'session', 'provider', 'reason', 'client', 'delegated-session', 'actor', 'clusters'],
  },
  'access-requested': {
    chapter: 'Access requests and step-up',
    when: 'a user asked for a role for a while',
    code: '201',
    facts: ['account', 'session', 'provider', 'grant-id', 'role', 'reason', 'seconds', 'groups', 'clusters'],
  },
  'access-approved': {
    chapter: 'Access requests and step-up',
    when: 'a user approved what another user had asked for; the last approval that is needed begins the grant',
    code: always,
    facts: [...ASKED, 'approvals'],
  },
  'access-approval-lapsed': {
    chapter: 'Access requests and step-up',
    when: 'an approval of an open request counts no longer, because its approver could not give it now',
    code: always,
    facts: ASKED,
  },
  'access-denied': {
    chapter: 'Access requests and step-up',
    when: 'a request for a role was denied, withdrawn by its user or with its session, or not decided in time',
    code: always,
    facts: [...ASKED, 'ending'],
  },
  'access-refused': {
    chapter: 'Access requests and step-up',
    when: 'a request for a role was not stored, or a user tried to decide about one, or to end a grant, who may not; or a request of the API for it was rejected',
    code: received,
    facts: ['account', 'session', 'provider', 'grant-id', 'role', 'reason', 'delegated-session', 'actor'],
  },
  'access-begun': {
    chapter: 'Access requests and step-up',
    when: 'a grant has begun: from now on requests of the session have the groups of the role',
    code: always,
    facts: [
      'account',
      'session',
      'provider',
      'grant-id',
      'role',
      'reason',
      'seconds',
      'groups',
      'clusters',
      'approved-by',
    ],
  },
  'access-ended': {
    chapter: 'Access requests and step-up',
    when: 'a grant is over: `ending` says why, and the receipt what each replica did',
    code: '200 proven, 202 written and not proven yet',
    facts: [
      'account',
      'session',
      'provider',
      'grant-id',
      'role',
      'reason',
      'ending',
      'by',
      'revocation',
      'complete',
      'receipts',
      'streams-closed',
    ],
  },
  'step-up': {
    chapter: 'Access requests and step-up',
    when: 'a user has authenticated again at the provider for a session that goes on',
    code: always,
    facts: ['account', 'session', 'provider', 'device', 'device-name'],
  },
  'step-up-refused': {
    chapter: 'Access requests and step-up',
    when: 'a step-up was begun or finished and did not count: another account signed in, the provider proved nothing or has taken a group away, it was too late, or the session may not step up',
    code: received,
    facts: ['account', 'session', 'provider', 'reason', 'delegated-session', 'actor', 'clock-skew', 'auth-time'],
  },
  logout: {
    chapter: 'Sessions and credentials',
    when: 'a user signed out: here, with the plugin, on their own page or at the provider',
    code: received,
    facts: [...ENDED, 'complete', 'sessions', 'streams-closed'],
  },
  'logout-refused': {
    chapter: 'Sessions and credentials',
    when: 'a provider’s logout token was rejected, or could not be acted on; or a request to list or end the user’s own sessions was rejected: on their page it came from another site, with a wrong token, or without a session; or the API for it rejected it',
    code: received,
    facts: ['account', 'session', 'provider', 'reason', 'target', 'clock-skew'],
  },
  'session-ended': {
    chapter: 'Sessions and credentials',
    when: 'a session ended by itself while something of it was open: it expired, it was idle, or its provider rejected the user',
    code: always,
    facts: ['account', 'session', 'provider', 'delegated-session', 'actor', 'reason', 'replica', 'streams-cut'],
  },
  revocation: {
    chapter: 'Revocation',
    when: 'a session, account or provider was revoked, with the receipt; also from the server’s own shell, if it failed, and if a code or refresh token was used twice',
    code: '200 proven, 202 written and not proven yet; otherwise the status that the caller received',
    facts: [
      'account',
      'session',
      'provider',
      'reason',
      'client',
      'target',
      'revocation',
      'complete',
      'receipts',
      'sessions',
      'delegated-sessions',
      'streams-closed',
      ...TWO_ADMINS,
      'outcome',
      'held-until',
      'by',
    ],
  },
  'revocation-begun': {
    chapter: 'Revocation',
    when: 'a revocation, or the end of a session by its user, a provider or a replayed code, is about to be written; it is in the audit log before. Its outcome has the same `auditID`: `revocation`, `logout`, `session-ended`, or the rejection that it comes with, such as `refresh-refused`. Without one, it could not be written, or the process was killed in between: look whether it is in force',
    code: 'none; its `stage` is `RequestReceived`',
    facts: [...ENDED, 'lock', ...TWO_ADMINS, 'by'],
  },
  'revocation-proven': {
    chapter: 'Revocation',
    when: 'a revocation was proven after its response had been sent',
    code: always,
    facts: ['account', 'session', 'reason', 'target', 'revocation', 'receipts', 'elapsed-ms', 'streams-closed'],
  },
  'approval-asked': {
    chapter: 'Revocation',
    when: 'an admin asked for a revocation that needs a second admin; nothing was revoked yet',
    code: '409',
    facts: ['account', 'session', 'reason', 'target', 'lock', 'approval'],
  },
  lock: {
    chapter: 'Revocation',
    when: 'an account was locked, in addition to the `revocation` that belongs to it; also from the server’s own shell',
    code: received,
    facts: [
      'account',
      'session',
      'reason',
      'target',
      'revocation',
      'complete',
      'receipts',
      'sessions',
      'delegated-sessions',
      'streams-closed',
      ...TWO_ADMINS,
      'by',
    ],
  },
  unlock: {
    chapter: 'Revocation',
    when: 'a lock was removed, or there was none; also from the server’s own shell',
    code: '200, 404 if there was none; otherwise the status that the caller received',
    facts: ['account', 'session', 'reason', 'target', 'outcome', 'by'],
  },
  'stream-cut': {
    chapter: 'Revocation',
    when: 'an admin has cut one open stream of a user, or it was not open any more; its own event ends with the reason `cut_by_admin`',
    code: '200, 404 if it was not open; otherwise the status that the caller received',
    facts: ['account', 'session', 'reason', 'target', 'stream', 'outcome', 'unanswered'],
  },
  'fresh-sign-in-lifted': {
    chapter: 'Revocation',
    when: 'the requirement of a fresh sign-in was lifted for a revoked account, or there was none; also from the server’s own shell',
    code: '200, 404 if there was none; otherwise the status that the caller received',
    facts: ['account', 'session', 'reason', 'target', 'outcome', 'by'],
  },
  'admin-read': {
    chapter: 'Administration',
    when: 'an admin or auditor has read sessions, revocations, locks, replicas, settings or the audit log',
    code: received,
    facts: ['account', 'session', 'reason', 'target', 'revocation', 'filter'],
  },
  'admin-refused': {
    chapter: 'Administration',
    when: 'a user without the role tried an action for admins and auditors; or an account made too many requests for pages, its own page included: once a minute for each account, with their `count`',
    code: '401, 403 or 429',
    facts: ['account', 'session', 'reason', 'count'],
  },
  drill: {
    chapter: 'Administration',
    when: 'a drill has ended: a session was opened, revoked, and watched on every replica',
    code: received,
    facts: [
      'account',
      'session',
      'reason',
      'drill',
      'verdict',
      'cluster',
      'revocation',
      'replicas',
      'replicas-passed',
      'outcome',
    ],
  },
  'console-entered': {
    chapter: 'Consoles',
    when: 'a user opened an in-cluster console in the browser',
    code: '303',
    facts: ['account', 'session', 'console', 'cluster'],
  },
  'console-refused': {
    chapter: 'Consoles',
    when: 'a user was denied access to a console',
    code: received,
    facts: ['account', 'session', 'reason', 'console', 'cluster'],
  },
  'malformed-request': {
    chapter: 'Portcullis itself',
    when: 'bytes on the api listener are not valid HTTP for Portcullis; or a request to a page was not whole in time, was too large, or was one of too many that were open',
    code: received,
    facts: ['reason'],
  },
  'rejections-omitted': {
    chapter: 'Portcullis itself',
    when: 'requests without a valid credential came from one address faster than they are audited (`audit.rejectionsPerMinute`), within the last minute; or, without an address, from many',
    code: always,
    facts: ['account', 'session', 'omitted', 'addresses'],
  },
  'server-started': {
    chapter: 'Portcullis itself',
    when: 'a replica listens; it serves with its first lease',
    code: always,
    facts: ['replica'],
  },
  'server-stopped': {
    chapter: 'Portcullis itself',
    when: 'a replica has stopped cleanly',
    code: always,
    facts: ['replica'],
  },
  'configuration-loaded': {
    chapter: 'Portcullis itself',
    when: 'a replica started with this configuration and these keys; another digest is another configuration',
    code: always,
    facts: ['replica', 'digest', 'version', 'signing-key', 'sealing-key'],
  },
  'files-reloaded': {
    chapter: 'Portcullis itself',
    when: 'a replica has loaded a new certificate, CA bundle, secret or key while it ran',
    code: always,
    facts: ['replica', 'files'],
  },
  'replica-fenced': {
    chapter: 'Portcullis itself',
    when: 'a replica can no longer trust its view: it cut everything and rejects all requests until it can',
    code: always,
    facts: ['replica'],
  },
  'replica-serving': {
    chapter: 'Portcullis itself',
    when: 'a fenced replica serves again: how long, and why, it could not trust its view',
    code: always,
    facts: ['replica', 'reason', 'seconds'],
  },
  'epoch-began': {
    chapter: 'Portcullis itself',
    when: 'the store began a new epoch (restart, failover, emptied or rolled back): all users must sign in again',
    code: always,
    facts: ['replica', 'reason', 'survivor'],
  },
  'audit-opened': {
    chapter: 'The audit log itself',
    when: 'a replica begins its chain; the first line of it',
    code: always,
    facts: ['replica', 'previous-chain', 'previous-seq', 'previous-hash', 'key-id', 'signature'],
  },
  'audit-checkpoint': {
    chapter: 'The audit log itself',
    when: 'periodically while there are lines: the head of the chain, signed',
    code: always,
    facts: ['replica', 'hash', 'key-id', 'signature'],
  },
  'audit-gap': {
    chapter: 'The audit log itself',
    when: 'a sink that had lost lines works again: which lines it lacks',
    code: always,
    facts: ['replica', 'sink', 'first', 'last', 'count', 'key-id', 'signature'],
  },
  'audit-closed': {
    chapter: 'The audit log itself',
    when: 'a replica stops cleanly; the last line of the chain',
    code: always,
    facts: ['replica', 'hash', 'key-id', 'signature'],
  },
} as const satisfies Readonly<Record<string, CatalogueEntry>>;

export type PortcullisEventName = keyof typeof PORTCULLIS_EVENTS;

/** @returns whether the audit log has an event of this name */
export const isPortcullisEventName = (name: string): name is PortcullisEventName =>
  Object.hasOwn(PORTCULLIS_EVENTS, name);
