/** Why something is refused, reason by reason, in words for who runs the gate. A new reason does not compile until it has words here. */
import type { BearerRejection } from '../src/core/credential/bearer-token.ts';
import type { IdentityRejection } from '../src/core/identity/types.ts';
import type { ClusterRejection } from '../src/core/request/cluster-selection.ts';
import type { CredentialRejection } from '../src/core/credential/credential.ts';
import type { ErrorCode } from '../src/core/errors.ts';
import type { ImpersonationRejection } from '../src/core/http/impersonation.ts';
import type { PathRejection } from '../src/core/request/request-path.ts';
import type { PassthroughRejection } from '../src/proxy/rejections.ts';
import type { CutReason } from '../src/revocation/revocation.ts';

type Words<T extends string> = Readonly<Record<T, string>>;

export const ERROR_CODES: Words<ErrorCode> = {
  bad_request: 'Malformed beyond doubt. Correct it; the message says what.',
  not_found: 'There is no such thing, or not for you.',
  unauthenticated: 'No credential, or one that is not good. Sign in.',
  forbidden: 'You may not do this. Ask for it, with the request id.',
  conflict: 'Somebody was first, or it does not fit what is there. Look again, then try again.',
  sign_in_refused: 'The provider or a rule said no to this person. Use another account, or ask your platform team.',
  sign_in_expired: 'A sign-in, or a code of one, that is unknown, used or too old. Start again.',
  provider_unavailable:
    'The identity provider cannot be reached, or its answer cannot be trusted. Try again; then see [the runbook](../runbooks/provider-down.md).',
  store_unavailable:
    'Redis is away or too slow; nothing is allowed meanwhile. Try again; then see [the runbook](../runbooks/redis-lost.md).',
  fenced:
    'This replica cannot vouch for anybody right now. Try again, another replica answers; then see [the runbook](../runbooks/replica-fenced.md).',
  audit_unavailable:
    'The record cannot be written, and `audit.onFailure` is `block`. See [the runbook](../runbooks/audit-failing.md).',
  upstream_unavailable:
    'The API server, or for the command line the gate, cannot be reached, and nothing was sent. See [the runbook](../runbooks/upstream-errors.md).',
  upstream_timeout: 'It took too long. Try again.',
  internal: 'A fault of the gate. Find it in the log by the request id or the audit id.',
};

export const CREDENTIAL_REJECTIONS: Words<CredentialRejection | BearerRejection | CutReason> = {
  no_token: 'no token came',
  malformed_token: 'what came is no token of three parts that can be read',
  foreign_token: 'not signed by this gate, or not an access token of it',
  token_expired: 'older than `sessions.accessToken`; clients renew it by themselves',
  wrong_audience: 'made for another cluster, or for the admin API',
  certificate_missing:
    'bound to a key, and the connection shows no certificate: a client that drops it, or a load balancer that ends TLS',
  certificate_mismatch: 'bound to another key than the connection’s: a copied token',
  token_unbound: 'without a key, where `sessions.binding` asks for one',
  session_unknown: 'its session is gone from the store',
  session_expired: 'its session is past `sessions.idle` or `sessions.absolute`',
  session_revoked: 'its session, account or provider was revoked, or it was signed out',
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
};

export const PATH_REJECTIONS: Words<PathRejection> = {
  connect_method: 'CONNECT',
  method_unknown: 'a method that Kubernetes has no verb for',
  empty_target: 'nothing',
  target_too_long: 'longer than 32,768 characters',
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

export const CLUSTER_REJECTIONS: Words<ClusterRejection> = {
  host_conflict: 'two hosts that differ',
  host_invalid: 'a `Host` that is no host name',
  cluster_unknown: 'no cluster has this host or prefix',
};

export const IMPERSONATION_REJECTIONS: Words<ImpersonationRejection> = {
  impersonation_header_unknown: 'an `Impersonate-` header that Kubernetes does not have',
  impersonation_without_user: 'groups, uid or extra without `--as`',
  impersonation_repeated: 'two users or two uids',
  impersonation_malformed: 'a name that is empty, too long, not UTF-8, or has characters that no name may have',
  impersonation_reserved_extra: 'an extra key below `portcullis.dev/`',
};

export const PASSTHROUGH_REJECTIONS: Words<PassthroughRejection | 'passthrough_impersonation'> = {
  passthrough_not_accepted: 'the cluster does not know the token',
  passthrough_not_service_account: 'the token is nobody’s who is a service account',
  passthrough_own_account: 'the token is the gate’s own',
  passthrough_bound_token: 'the token is tied to a key that the cluster would not see',
  passthrough_busy: 'too many tokens are being reviewed at the cluster at once',
  passthrough_impersonation: 'a service account’s own token with `--as`',
};

/** Of a name that a claim yields: the reason is the place, `_`, and one of these. */
type NameFault = 'not_string' | 'empty' | 'white_space' | 'characters' | 'reserved' | 'too_long';

const NAME_FAULTS: Words<NameFault> = {
  not_string: 'is no text',
  empty: 'is empty',
  white_space: 'begins or ends with white space',
  characters: 'has a character that no name may have: control, invisible or bidirectional',
  reserved: 'begins with `system:`, which Kubernetes keeps for itself',
  too_long: 'is too long',
};

const nameFaults = <P extends string>(place: P, what: string): Words<`${P}_${NameFault}`> =>
  Object.fromEntries(
    Object.entries(NAME_FAULTS).map(([fault, words]) => [`${place}_${fault}`, `${what} ${words}`]),
  ) as Words<`${P}_${NameFault}`>;

/** Someone whom the provider vouches for, and whom the configuration makes nobody of. */
export const IDENTITY_REJECTIONS: Words<IdentityRejection['reason']> = {
  rule_refused: 'a rule of `rules` or `userRules` is false; its message is what the person sees',
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
  ...nameFaults('username', 'the username'),
  ...nameFaults('group', 'a group'),
  ...nameFaults('uid', 'the uid'),
  ...nameFaults('extra', 'a value of `extra`'),
  ...nameFaults('subject', 'the subject at the provider (`sub`)'),
};
