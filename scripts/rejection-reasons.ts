/** The cause of each rejection, for operators. A new reason does not compile until it has a cause here. */
import type { BearerRejection } from '../src/core/credential/bearer-token.ts';
import type { IdentityRejection } from '../src/core/identity/types.ts';
import type { ClusterRejection } from '../src/core/request/cluster-selection.ts';
import type { CredentialRejection } from '../src/core/credential/credential.ts';
import type { ErrorCode } from '../src/core/errors.ts';
import type { ImpersonationRejection } from '../src/core/http/impersonation.ts';
import type { PathRejection } from '../src/core/request/request-path.ts';
import type { PassthroughRejection } from '../src/proxy/rejections.ts';
import type { CutReason } from '../src/revocation/revocation.ts';

type Causes<T extends string> = Readonly<Record<T, string>>;

export const ERROR_CODES: Causes<ErrorCode> = {
  bad_request: 'The request is malformed. Correct it; the message says what.',
  not_found: 'It does not exist, or you may not see it.',
  unauthenticated: 'No credential, or an invalid one. Sign in.',
  forbidden: 'You may not do this. Ask for it, with the request id.',
  conflict: 'Another request was first, or it does not fit the current state. Look again, then try again.',
  sign_in_refused: 'The provider or a rule rejected this user. Use another account, or ask your platform team.',
  sign_in_expired: 'A sign-in, or a code of one, that is unknown, used or too old. Start again.',
  provider_unavailable:
    'The identity provider cannot be reached, or its response cannot be trusted. Try again; then see [the runbook](../runbooks/provider-down.md). Where the page says that only the platform team can fix it, trying again does not help: see [sign-ins fail](../runbooks/sign-in-failures.md).',
  store_unavailable:
    'Redis is unavailable or too slow; nothing is allowed meanwhile. Try again; then see [the runbook](../runbooks/redis-lost.md).',
  fenced:
    'This replica cannot verify any session right now. Try again, another replica responds; then see [the runbook](../runbooks/replica-fenced.md).',
  audit_unavailable:
    'The audit log cannot be written, and `audit.onFailure` is `block`. See [the runbook](../runbooks/audit-failing.md).',
  upstream_unavailable:
    'The API server, or for the command line the server, cannot be reached, and nothing was sent. See [the runbook](../runbooks/upstream-errors.md).',
  upstream_timeout: 'It took too long. Try again.',
  internal: 'An error of Portcullis. Find it in the log by the request id or the audit id.',
};

export const CREDENTIAL_REJECTIONS: Causes<CredentialRejection | BearerRejection | CutReason> = {
  no_token: 'no token',
  malformed_token: 'not a readable token of three parts',
  foreign_token: 'not signed by Portcullis, or not an access token of it',
  token_expired: 'older than `sessions.accessToken`; clients renew it by themselves',
  wrong_audience: 'made for another cluster, or for the admin API',
  certificate_missing:
    'bound to a key, and the connection shows no certificate: a client that drops it, or a load balancer that ends TLS',
  certificate_mismatch: 'bound to another key than the connection’s: a copied token',
  token_unbound: 'without a key, where `sessions.binding` asks for one',
  session_unknown: 'its session is gone from the store',
  session_expired: 'its session is past `sessions.idle` or `sessions.absolute`',
  session_revoked: 'its session, account or provider was revoked, or it was signed out',
  grant_ended: 'groups that were granted for a while ended during the request',
  epoch_changed: 'made before the store lost its data',
  authorization_repeated: 'more than one `Authorization` header',
  authorization_not_bearer: 'an `Authorization` header of another scheme',
  token_malformed: 'characters that no Bearer token has',
  token_in_two_places: 'a token in the header and in the WebSocket protocol',
  subprotocol_repeated: 'two tokens in the WebSocket protocol',
  subprotocol_alone: 'a token as the only WebSocket protocol, so that none is left to answer with',
  fenced: 'this replica has no fresh view of what is revoked',
  identity_changed: 'name or groups have changed at the provider while a stream was open',
  recheck_overdue: 'the provider could not be asked for `sessions.recheckGrace`',
  shutdown: 'the replica stops',
  cut_by_admin: 'an admin has ended this request; the session goes on',
  memory_short:
    'the replica has hardly any memory left, and its user has the most open ([limits](../protocols.md#limits))',
};

export const PATH_REJECTIONS: Causes<PathRejection> = {
  connect_method: 'CONNECT',
  method_unknown: 'a method that Kubernetes has no verb for',
  empty_target: 'nothing',
  target_too_long: 'longer than 32,768 characters',
  too_many_parameters: 'more than 10,000 parameters in the query',
  asterisk_form: '`*` in place of a path',
  absolute_form: 'a whole URL in place of a path',
  authority_form: 'a host in place of a path',
  forbidden_character: 'a control character, a space, a quote or what is not ASCII',
  fragment: 'a `#`',
  backslash: 'a backslash',
  bad_percent_encoding: '`%` without two hexadecimal digits',
  encoded_dot: '`%2e`',
  encoded_slash: '`%2f`',
  encoded_backslash: '`%5c`',
  encoded_control: 'an encoded control character',
  dot_segment: '`.` or `..` as a segment',
  empty_segment: '`//`, other than below `…/proxy/`',
};

export const CLUSTER_REJECTIONS: Causes<ClusterRejection> = {
  host_conflict: 'two hosts that differ',
  host_invalid: 'a `Host` that is no host name',
  cluster_unknown: 'no cluster has this host or prefix',
};

export const IMPERSONATION_REJECTIONS: Causes<ImpersonationRejection> = {
  impersonation_header_unknown: 'an `Impersonate-` header that Kubernetes does not have',
  impersonation_without_user: 'groups, uid or extra without `--as`',
  impersonation_repeated: 'two users or two uids',
  impersonation_malformed: 'a name that is empty, too long, not UTF-8, or has characters that no name may have',
  impersonation_reserved_extra: 'an extra key below `portcullis.dev/`',
};

export const PASSTHROUGH_REJECTIONS: Causes<PassthroughRejection | 'passthrough_impersonation'> = {
  passthrough_not_accepted: 'the cluster does not know the token',
  passthrough_not_service_account: 'the token does not belong to a service account',
  passthrough_own_account: 'the token is the proxy’s own',
  passthrough_bound_token: 'the token is tied to a key that the cluster would not see',
  passthrough_busy: 'too many tokens are being reviewed at the cluster at once',
  passthrough_impersonation: 'a service account’s own token with `--as`',
};

/** Of a name that a claim yields: the reason is the place, `_`, and one of these. */
type NameError = 'not_string' | 'empty' | 'white_space' | 'characters' | 'reserved' | 'too_long';

const NAME_ERRORS: Causes<NameError> = {
  not_string: 'is no text',
  empty: 'is empty',
  white_space: 'begins or ends with white space',
  characters: 'has a character that no name may have: control, invisible or bidirectional',
  reserved: 'begins with `system:`, which Kubernetes keeps for itself',
  too_long: 'is too long',
};

const nameErrors = <P extends string>(place: P, what: string): Causes<`${P}_${NameError}`> =>
  Object.fromEntries(
    Object.entries(NAME_ERRORS).map(([error, cause]) => [`${place}_${error}`, `${what} ${cause}`]),
  ) as Causes<`${P}_${NameError}`>;

/** The provider confirms the user, but the configuration makes no identity of the claims. */
export const IDENTITY_REJECTIONS: Causes<IdentityRejection['reason']> = {
  rule_refused: 'a rule of `rules` or `userRules` is false; its message is what the user sees',
  rule_error: 'a rule could not be evaluated: try `portcullis config check --claims`',
  expression_too_costly:
    'a rule, `username`, `groups`, `uid` or `extra` would have taken too many steps over so many groups, or such long texts: see [claims](../claims.md#what-an-expression-may-cost)',
  expression_error:
    '`username`, `groups`, `uid` or `extra` could not be evaluated: try `portcullis config check --claims`',
  email_unverified:
    'the name is an e-mail address, and the provider says `email_verified: false`: the user verifies it at the provider',
  email_verification_unknown:
    'the name is an e-mail address, and the provider sends no `email_verified`, or one that is neither true nor false: choose another `username`, or `emailVerified: trusted`',
  groups_not_strings: '`groups` yields something other than a list of text',
  groups_too_many: 'more than `limits.groups` in what the provider sends: let it send fewer, or raise the limit',
  groups_overage: 'Entra ID left the groups out because there are too many: see [Entra ID](../providers/entra.md)',
  extra_not_strings: 'a value of `extra` is neither text nor a list of it',
  ...nameErrors('username', 'the username'),
  ...nameErrors('group', 'a group'),
  ...nameErrors('uid', 'the uid'),
  ...nameErrors('extra', 'a value of `extra`'),
  ...nameErrors('subject', 'the subject at the provider (`sub`)'),
};
