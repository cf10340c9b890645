/**
 * What each rejection of a service tells its caller. Services decide by reasons, with the data that a text needs; status and
 * meaning of each reason are in the table of its API's problems beside this.
 */
import { MOST_REASON } from '../access/request.ts';
import { SHORTEST_SECONDS } from '../access/role.ts';
import type { ErrorCode } from '../errors.ts';
import type { Result } from '../result.ts';
import type { Unproven } from '../identity/auth-time.ts';
import { unprovableMessage, unprovenMessage } from '../identity/fresh-sign-in.ts';
import { frequencyText } from '../identity/freshness.ts';
import { ACCESS_PROBLEMS } from './access-problems.ts';
import { ADMIN_PROBLEMS, type AdminProblemCode } from './admin-problems.ts';
import { DELEGATION_PROBLEMS } from './delegations-problems.ts';
import type { OWN_PROBLEMS } from './own-operations.ts';
import { SESSIONS_PROBLEMS } from './sessions-operations.ts';
import { STEP_UP_PROBLEMS } from './step-up-problems.ts';

type Text = string | ((data: never) => string);
export type Texts = Readonly<Record<string, Text>>;
type Own = keyof typeof OWN_PROBLEMS;

/** What a rejection may have besides its reason and the data of its text. */
export interface RejectionFacts {
  /** For the audit log, where it is more precise than the reason. */
  readonly precisely?: string;
  /** True where an audit event for it was written already. */
  readonly audited?: boolean;
  readonly cause?: unknown;
  /** Extension members of the problem document (RFC 9457 §3.2). */
  readonly members?: Readonly<Record<string, string>>;
  /** With 429: whole seconds. */
  readonly retryAfterSeconds?: number | undefined;
  /** With `fresh_sign_in_needed`: how long a sign-in counts as fresh (RFC 9470 §3). */
  readonly withinSeconds?: number | undefined;
}

export interface Rejection extends RejectionFacts {
  readonly reason: string;
}

/** A reason with the data of its text. */
export type RejectionOf<T> = {
  [R in keyof T]: RejectionFacts & { readonly reason: R } & (T[R] extends (data: infer D) => string ? D : unknown);
}[keyof T];

/** The rejections of one service. */
export interface Catalogue<T extends Texts> {
  readonly texts: T;
  /** Those with a code of their own. */
  readonly problems: Readonly<Record<string, { readonly status: number }>>;
  /** The error code of those that have none. */
  readonly codes?: Readonly<Partial<Record<keyof T, ErrorCode>>>;
}

/** Returns what a rejection tells its caller. */
export function rejectionText<T extends Texts>(texts: T, rejection: RejectionOf<T>): string {
  const text = texts[rejection.reason] as string | ((data: RejectionOf<T>) => string);
  return typeof text === 'string' ? text : text(rejection);
}

/** The error code of a rejection with a code of its own, by its status. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'bad_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  429: 'conflict',
  503: 'store_unavailable',
};

/** Returns the error code of a rejection, which says less than its reason. */
export const rejectionCode = <T extends Texts>(
  { problems, codes }: Catalogue<T>,
  { reason }: RejectionOf<T>,
): ErrorCode => codes?.[reason] ?? CODES[problems[String(reason)]?.status ?? 0] ?? 'internal';

/** `provider_unavailable` is an error of the provider, and no decision. */
type AccessReason = Exclude<keyof typeof ACCESS_PROBLEMS, Own | 'provider_unavailable'>;
export type AccessRejection = RejectionOf<typeof ACCESS_TEXTS>;
export type AccessResult<T> = Result<T, AccessRejection>;

/** What a fresh sign-in is for. */
type Purpose = 'approval' | 'request' | 'admin';

const adminSignsInAgain = (withinSeconds: number): string =>
  `An admin who changes anything must sign in again ${frequencyText(withinSeconds)}. Sign in again, then repeat the change.`;

export const ACCESS_TEXTS = {
  // The same for one that is not yours and for one that does not exist: an id that was guessed says nothing.
  request_not_found: 'There is no such access request among those that you may see.',
  role_not_found: 'There is no such role among those that you may ask for. “portcullis access list” lists them.',
  session_not_found: 'There is no such session among yours. “portcullis sessions” lists them.',
  seconds_malformed: ({ longest }: { readonly longest: number }) =>
    `The time must be a whole number of seconds, from ${SHORTEST_SECONDS} to ${longest} for this role.`,
  reason_needed: ({ pattern }: { readonly pattern: string }) =>
    `This role needs a reason that matches “${pattern}”, from its beginning to its end.`,
  reason_malformed: `The reason may have at most ${MOST_REASON} characters.`,
  delegated_session: ({ act }: { readonly act: 'ask' | 'have' }) =>
    act === 'ask'
      ? 'A delegated session can neither ask for a role nor decide about a request. Use your own session.'
      : 'A delegated session is given no role. Ask for your own session.',
  workload: 'A workload can neither ask for a role nor decide about a request. A user must do it.',
  sign_in_again: ({ because }: { readonly because: 'unconfirmed' | 'earlier_version' }) =>
    because === 'unconfirmed'
      ? 'The identity provider cannot be asked again about this session. Sign in again (portcullis login).'
      : 'Your session was opened by an earlier version of Portcullis. Sign in again (portcullis login).',
  freshness_unprovable: ({ provider, purpose }: { readonly provider: string; readonly purpose: Purpose }) =>
    unprovableMessage(provider, purpose),
  fresh_sign_in_needed: ({ withinSeconds, purpose }: { readonly withinSeconds: number; readonly purpose: Purpose }) =>
    purpose === 'admin'
      ? adminSignsInAgain(withinSeconds)
      : `For this you must sign in again ${frequencyText(withinSeconds)}. Sign in again (portcullis step-up), then repeat it.`,
  session_over: 'Your session has ended. Sign in again (portcullis login).',
  own_request: ({ isSameAccount }: { readonly isSameAccount: boolean }) =>
    isSameAccount
      ? 'You have asked for this yourself. A colleague must decide; you can withdraw it.'
      : 'You have asked for this yourself, or with an account that has the same name. A colleague must decide.',
  not_an_approver: 'You are not among those who approve this role. Ask one of them.',
  may_not_end: 'Its user, its approvers and admins may end it.',
  account_locked: 'The account that asked is locked here.',
  role_open: 'You have asked for this role already, and it waits for approval. “portcullis access list” shows it.',
  role_active: 'This session has this role already. End it first (portcullis access end), or wait.',
  role_changed:
    'This role was changed after it was asked for. Its user must ask again, so that you see what you approve.',
  already_approved:
    'You have approved this already, or with an account that has the same name. It needs another colleague.',
  approver_over: 'The session of someone who approved this has just ended. Look at the request, then decide again.',
  request_open: 'Nothing has begun yet. Its approvers can deny it (portcullis access deny).',
  request_granted: 'This request was approved already, and what it gives has begun.',
  request_denied: 'This request was denied. It must be asked for again.',
  request_withdrawn: 'Its user has withdrawn this request.',
  request_expired: 'No one decided about this request in time. It must be asked for again.',
  request_busy: ({ others }: { readonly others: 'decide' | 'change' | 'have_decided' }) =>
    others === 'have_decided'
      ? 'This request was decided at the same moment. Look at it, then decide again.'
      : `Others ${others === 'decide' ? 'decide about' : 'change'} this request at the same moment. Try again.`,
  grant_over: ({ act }: { readonly act: 'decide' | 'end' }) =>
    act === 'decide'
      ? 'This request was approved, and what it gave is over already. It must be asked for again.'
      : 'This request is over already. There is nothing to end.',
  requester_gone: 'The session that asked is over. Its user must sign in and ask again.',
  requester_not_eligible: 'The requester may not ask for this any more: not in these groups, or not for so long.',
  requester_signs_in_again: ({ because }: { readonly because: 'unconfirmed' | 'earlier_version' }) =>
    because === 'unconfirmed'
      ? 'The identity provider of the requester cannot be asked about them again: they must sign in, then ask again.'
      : 'The requester has a session of an earlier version of Portcullis: they must sign in, then ask again.',
  requests_too_many:
    'As many requests for this role, or for all, wait for approval as may. Approvers must decide about some of them first.',
  requests_of_account_too_many:
    'As many of your requests wait as may, or you have asked too often within a day. Withdraw some (portcullis access end), or wait.',
  grants_too_many: 'As many users have this role, or any, as may. One of them must end theirs first.',
  grants_of_account_too_many: 'You have as many roles as an account may have. End one first (portcullis access end).',
  grants_of_session_too_many: 'This session has as many roles as one may have. End one first (portcullis access end).',
} as const satisfies Readonly<Record<AccessReason, Text>>;

export const ACCESS = { texts: ACCESS_TEXTS, problems: ACCESS_PROBLEMS };

/** The codes that only the admin API and pages have. Each is more precise than the error code that it comes with. */
type AdminProblem = Exclude<AdminProblemCode, ErrorCode | 'method_not_allowed'>;
export type AdminRejection = RejectionOf<typeof ADMIN_TEXTS>;
export type AdminResult<T> = Result<T, AdminRejection>;

/** Of a rejection that was made elsewhere, with its text. */
const given = ({ message }: { readonly message: string }): string => message;

export const ADMIN_TEXTS = {
  session_not_found: 'There is no live session of this id. It may have ended already.',
  revocation_not_found: 'No revocation of this id is known from the last thirty days. The audit log has all of them.',
  access_request_not_found: ({ message = 'There is no access request of this id.' }: { readonly message?: string }) =>
    message,
  access_conflict: given,
  csrf_failed: given,
  too_many_requests: given,
  too_many_tails: given,
  stream_not_found: 'This stream is not open any more, at any replica that answered. GET streams lists those that are.',
  lock_not_found: 'This account is not locked. GET locks lists those that are.',
  username_not_found:
    'No live session has this username. Check the spelling, or revoke by account, as PROVIDER/SUBJECT.',
  username_ambiguous: ({ users, accounts }: { readonly users: number; readonly accounts: readonly string[] }) =>
    `${users} accounts have this username. Revoke by account: ${accounts.slice(0, 5).join(', ')}.`,
  provider_not_found: ({ names }: { readonly names?: readonly string[] }) =>
    names === undefined
      ? 'There is no identity provider of this name. GET providers lists them.'
      : `The part of an account before the / is the name of an identity provider or a workload rule, and there is none of this name. There are: ${names.slice(0, 20).join(', ')}.`,
  workload_not_found: 'There is no workload rule of this name. The configuration lists them under workload.',
  account_not_seen:
    'Nothing was done, because the name may be mistyped: this account has no live session, no lock and no revocation of its own in the last thirty days. (Right after a revocation of its provider or of all users that is normal.) Check the spelling. To lock it all the same, send it again with "force": true.',
  request_id_reused: 'This request id has already been used for another request. Use a new one.',
  revocation_not_written: ({ heldUntil }: { readonly heldUntil?: string }) =>
    heldUntil === undefined
      ? 'The revocation could not be written, so nothing is guaranteed. This replica rejects the target all the same. Send it again.'
      : `The store does not respond, so nothing could be written. This replica rejects the target until ${heldUntil}, and no other replica does. Send it again as soon as the store is back.`,
  fresh_sign_in_newer:
    'This account or one of its sessions was revoked after you opened the page. Load it again, then decide.',
  fresh_sign_in_not_needed:
    'This account needs no fresh sign-in: nothing of it was revoked in the last thirty days, or an admin has lifted it.',
  fresh_sign_in_needed: ({ withinSeconds }: { readonly withinSeconds: number }) => adminSignsInAgain(withinSeconds),
  freshness_unprovable: ({ provider }: { readonly provider: string }) => unprovableMessage(provider, 'admin'),
  second_admin_needed: (of: { readonly approval: string; readonly expiresAt: string; readonly deed: string }) =>
    `Nothing was done yet: this takes a second admin. Until ${of.expiresAt} another admin can do the same with “--approval ${of.approval}”, or with that id on the admin pages: ${of.deed}.`,
  approval_not_good:
    'This approval is unknown, already used, older than 15 minutes, for another request, or of an admin who has signed out, was revoked, is none any more, or is not confirmed by their identity provider. Send the request again without one.',
  same_admin: 'You have asked for this yourself. Another admin must do it, with the same approval.',
  drill_running: 'Another drill is running. It ends within half a minute; try again then.',
  drill_refused: ({ because }: { readonly because: string }) =>
    because === 'fresh_sign_in_needed'
      ? 'Something of your account was revoked since you signed in, so no drill can open a session in it. Sign in again (portcullis login), then try again.'
      : `The session for the drill was rejected (${because}). Try again.`,
  cluster_not_found: ({ isWorkload }: { readonly isWorkload: boolean }) =>
    `There is no such cluster among those that ${isWorkload ? 'the workload’s rule names' : 'you may use'}. A drill opens its watches through one of them.`,
  // From here on: those without a code of their own.
  query_malformed: given,
  workload_may_not_approve: ({ act }: { readonly act: 'ask' | 'approve' }) =>
    act === 'ask'
      ? 'This takes two admins, and a workload is none. Nothing was done: an admin must ask for it.'
      : 'A workload cannot be the second admin. An admin must do it, with the same approval.',
  second_admin_is_none: 'Your identity provider no longer says that you are an admin. Another admin must do it.',
  second_admin_not_confirmed:
    'Your identity provider cannot be asked whether you are an admin still. Sign in again, then send this with the same approval.',
  no_role: 'Only members of the admin and auditor groups may see this. Ask your platform team to add you.',
  auditor_may_not_act: 'Auditors may read, but not change anything. Ask an admin to do it.',
  revoker_only: 'This workload may revoke and lock, and nothing else here.',
  drill_only: 'This workload may start drills, and nothing else here. Use POST drills.',
} as const satisfies Readonly<Record<AdminProblem, Text>> & Texts;

export const ADMIN = {
  texts: ADMIN_TEXTS,
  problems: ADMIN_PROBLEMS,
  codes: {
    query_malformed: 'bad_request',
    workload_may_not_approve: 'forbidden',
    second_admin_is_none: 'forbidden',
    second_admin_not_confirmed: 'forbidden',
    no_role: 'forbidden',
    auditor_may_not_act: 'forbidden',
    revoker_only: 'forbidden',
    drill_only: 'forbidden',
  },
} as const satisfies Catalogue<typeof ADMIN_TEXTS>;

type DelegationReason = Exclude<keyof typeof DELEGATION_PROBLEMS, Own>;
export type DelegationRejection = RejectionOf<typeof DELEGATION_TEXTS>;
export type DelegationResult<T> = Result<T, DelegationRejection>;

const ASK = 'Ask your platform team.';

/** Of a name that may contain anything, nothing is repeated. */
const cluster = (name: string | undefined): string => (name === undefined ? 'of one of these names' : `“${name}”`);

export const DELEGATION_TEXTS = {
  name_malformed: ({ rule }: { readonly rule: string }) => `The name must have ${rule}. Choose another one.`,
  name_taken: 'A registered client has this name, and only it may act under it. Choose another one.',
  levels_too_many: ({ most }: { readonly most: number }) =>
    `There are ${most} delegated sessions above one another already. Delegate from one that is nearer to your own session.`,
  delegation_disabled: `Delegated sessions are switched off here. ${ASK}`,
  workload: 'The session of a workload cannot be delegated. Exchange the workload’s own token again.',
  delegation_not_allowed: `You are in no group that may delegate sessions. ${ASK}`,
  clusters_missing: 'No cluster is named, so the session could do nothing. Name at least one.',
  // One message for both: the names of clusters that a user may not use are none of their business.
  cluster_unknown: ({ name }: { readonly name: string | undefined }) =>
    `There is no cluster ${cluster(name)} that you may use. “portcullis whoami” lists yours.`,
  cluster_not_delegable: ({ name }: { readonly name: string | undefined }) =>
    `Delegated sessions may not use the cluster ${cluster(name)} here. ${ASK}`,
  cluster_beyond_parent: ({ name }: { readonly name: string | undefined }) =>
    `This session was not given the cluster ${cluster(name)}, so it cannot give it away. Delegate from the session above it.`,
  limits_missing: 'Nothing limits what the session may do. Give it a preset, namespaces or rules.',
  limits_malformed: ({ place, message }: { readonly place: string; readonly message: string }) =>
    `${place}: ${message}`,
  limits_too_large: ({ bytes, most }: { readonly bytes: number; readonly most: number }) =>
    `The limits have ${bytes} bytes as JSON, with those of the sessions above; at most ${most} are kept. Use fewer or shorter rules.`,
  limits_beyond_parent: ({ wider }: { readonly wider: string }) =>
    `The rights that you ask for are wider than what may be given: ${wider}. Ask for less, or delegate from a session that has it.`,
  source_beyond_parent: 'The session above may be used from fewer addresses. Name some of its own, or leave them out.',
  key_malformed: ({ given }: { readonly given: boolean }) =>
    given
      ? 'The thumbprint must be the SHA-256 of a certificate in base64url, 43 characters (RFC 8705 §3.1).'
      : 'The session needs a key of its own. Send the thumbprint of its certificate.',
  session_not_found: 'There is no such delegated session among yours. “portcullis delegations” lists them.',
  key_of_session_above: 'That is the key of a session above it. Make a new key pair.',
  key_used: 'Another delegated session has this key already. Make a new key pair for each.',
  seconds_malformed: 'The lifetime must be a whole number of seconds, at least 1.',
  parent_over: 'The session that you delegate from is over. Sign in again (portcullis login).',
  account_locked: 'Your account is locked here. Ask your platform team to unlock it.',
  delegations_too_many: ({ most }: { readonly most: number }) =>
    `This session has ${most} delegated sessions already, which is as many as one may have. End some (portcullis delegations).`,
  sessions_too_many: 'Your account has as many sessions as one may have. End some on your own page.',
  store_restarted: 'The store was restarted meanwhile. Sign in again (portcullis login).',
  time_over: 'Its time was over before it was opened. Ask for a longer time, or try again.',
} as const satisfies Readonly<Record<DelegationReason, Text>>;

export const DELEGATION = { texts: DELEGATION_TEXTS, problems: DELEGATION_PROBLEMS };

export const SESSIONS = {
  texts: {
    delegated: 'A delegated session does not see where its user is signed in. Ask in your own session.',
    session_not_found:
      'There is no such session of yours. It may have ended already: “portcullis sessions” lists them.',
  },
  problems: SESSIONS_PROBLEMS,
} as const satisfies Catalogue<Texts>;

export type StepUpRejection = RejectionOf<typeof STEP_UP_TEXTS>;
export type StepUpResult<T> = Result<T, StepUpRejection>;

export const STEP_UP_TEXTS = {
  step_up_delegated: 'A delegated session never steps up: what needs it, its user’s own session must do.',
  step_up_workload: 'A workload never steps up, because no user is there to sign in.',
  freshness_unprovable: ({ provider }: { readonly provider: string }) => unprovableMessage(provider, 'step-up'),
  device_code_off: 'Codes are switched off here (sessions.deviceCode), so this needs a browser on the same machine.',
  step_up_unknown:
    'There is no such step-up of this session; it may be older than ten minutes. Run “portcullis step-up” again.',
  step_up_code: 'This code is not one of this step-up, or is too old. Run “portcullis step-up” again.',
  // One message for all of them: an attacker who guesses codes must not learn which ones exist.
  not_pending: 'This is not known here, has been used, or is older than ten minutes. Run “portcullis step-up” again.',
  other_account:
    'You signed in as another user than that of the session, so nothing has changed. Sign out at your identity provider, then start again as the user of the session.',
  groups_changed:
    'Your identity provider has taken you out of a group that this session still has, so nothing has changed. Sign in again.',
  session_over: 'The session has ended meanwhile. Run “portcullis login”.',
  fresh_sign_in_needed: ({
    unproven,
    ...at
  }: {
    readonly unproven: Unproven;
    readonly provider: string;
    readonly now: number;
  }) => unprovenMessage(unproven, { ...at, purpose: 'step-up' }),
} as const satisfies Texts;

export const STEP_UP = {
  texts: STEP_UP_TEXTS,
  problems: STEP_UP_PROBLEMS,
  codes: {
    not_pending: 'sign_in_expired',
    session_over: 'sign_in_expired',
    other_account: 'sign_in_refused',
    groups_changed: 'sign_in_refused',
    fresh_sign_in_needed: 'sign_in_refused',
  },
} as const satisfies Catalogue<typeof STEP_UP_TEXTS>;
