/**
 * Writes docs/reference/error-codes.md from the code: `node scripts/error-reference.ts`. A unit test compares the two. Statuses and
 * messages are those that the modules return for each code and reason; the causes are in rejection-reasons.ts.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exitCodeOf } from '../src/cli/errors.ts';
import { AppError, type ErrorCode } from '../src/core/errors.ts';
import { type Rejection } from '../src/proxy/status.ts';
import {
  constrainedRejection,
  impersonationDenied,
  impersonationNotConfigured,
  impersonationTooLarge,
  impersonationUnconstrained,
  impersonationRejection,
  proxyAccountRejection,
  unsupportedRejection,
} from '../src/proxy/impersonation-rejections.ts';
import { delegationBounds, delegationLimit, delegationSource } from '../src/proxy/delegation-rejections.ts';
import { stepUpNeeded } from '../src/proxy/step-up-rejections.ts';
import {
  auditBlocked,
  bodyTooLarge,
  clusterRejection,
  credentialRejection,
  errorRejection,
  internalError,
  passthroughRejection,
  pathRejection,
  tooManyAtCluster,
  tooManyConnections,
  tooManyForUser,
  tooManyPending,
  tooManyReviews,
  tooMuchToAudit,
} from '../src/proxy/rejections.ts';
import {
  proxyTokenRejection,
  redirectRejection,
  upstreamBusy,
  upstreamInvalid,
  upstreamLost,
  upstreamTimeout,
  upstreamUnavailable,
  upstreamUntrusted,
  uploadGaveWay,
  uploadStalled,
} from '../src/proxy/upstream-rejections.ts';
import { MOST_BODY_BYTES } from '../src/core/http/pending-requests.ts';
import { errorMessages } from '../src/web/page/error-page.ts';
import { statusOfCode } from '../src/http/error-status.ts';
import {
  CLUSTER_REJECTIONS,
  CREDENTIAL_REJECTIONS,
  ERROR_CODES,
  IDENTITY_REJECTIONS,
  IMPERSONATION_REJECTIONS,
  PASSTHROUGH_REJECTIONS,
  PATH_REJECTIONS,
} from './rejection-reasons.ts';
import { entry, wrapped } from './reference-layout.ts';
import { MALFORMED_REASONS, SIGN_IN_REASONS } from './sign-in-reasons.ts';

export const ERROR_REFERENCE = fileURLToPath(new URL('../docs/reference/error-codes.md', import.meta.url));

export const REGENERATE_ERRORS = 'node scripts/error-reference.ts';

const HEAD = `# Error codes

<!-- Written by \`${REGENERATE_ERRORS}\` from the code. Do not edit. -->

A page, a response to kubectl and a message of the command line say little and what to do next. The audit log has the
precise reason, in the annotation \`portcullis.dev/reason\`: \`portcullis audit query --refused FILE\` shows what was
rejected. Give the request id or the audit id of the response to the operators of Portcullis.

Messages of the command line, one by one: [When the command line says no](../troubleshooting.md). Problem codes:
[the admin API](admin-api.md), [the API for delegated sessions](delegations-api.md).
`;

/** The errors of the token endpoint and the authorization endpoint (RFC 6749, 8628, 8693, 8707, 9396), and their causes here. */
export const OAUTH_ERRORS: readonly (readonly [code: string, status: string, when: string])[] = [
  [
    'invalid_request',
    '400',
    'a parameter is missing, malformed or repeated; in a token exchange also a subject token that is not accepted (RFC 8693 §2.2.2). Correct the request, or get a new token from its issuer',
  ],
  [
    'invalid_client',
    '401',
    'there is no client of this id, or it was not authenticated; `error_description` says why. Check `client_id`, the assertion or the certificate',
  ],
  [
    'invalid_grant',
    '400',
    'the code, refresh token or session is over: used, expired, signed out or revoked, or of another key. Sign in again',
  ],
  ['unauthorized_client', '400', 'the client may not use this grant or this way of authentication'],
  ['unsupported_grant_type', '400', 'Portcullis does not have this grant'],
  ['invalid_scope', '400', 'a scope that is not offered'],
  [
    'invalid_authorization_details',
    '400',
    'a token exchange: `authorization_details` is malformed, or asks for more than the client may have (RFC 9396 §5)',
  ],
  [
    'invalid_target',
    '400',
    '`resource` is no cluster, one that was added after the sign-in, or one that the user may not use. Sign in again, or ask for access',
  ],
  [
    'access_denied',
    '400',
    'the user declined, the provider or a rule rejected the user, or the provider and this server do not agree, which only an operator can fix: `error_description` says which',
  ],
  ['authorization_pending', '400', 'device code: the code was not entered yet. Poll again after the interval'],
  ['slow_down', '400', 'device code: polled too often. Wait five seconds longer'],
  ['expired_token', '400', 'device code: it was not entered in time. Start again'],
  [
    'temporarily_unavailable',
    '503',
    'store or provider unavailable, or the replica fenced: nothing was decided and nothing consumed; `Retry-After` says when to try again. 429 where a rate limit is reached',
  ],
  ['server_error', '500', 'an error of Portcullis'],
];

const PODS = { verb: 'delete', group: '', resource: 'pods', subresource: '', namespace: 'shop', name: 'POD' };
const DELEGATED = { actor: 'ACTOR', rights: 'read-only in shop' };

/** Rejections with a reason of their own, each with its cause. */
const OTHERS: readonly (readonly [rejection: Rejection, because: string])[] = [
  [
    impersonationDenied('NAME', {
      verb: 'impersonate',
      group: '',
      resource: 'users',
      subresource: '',
      namespace: '',
      name: 'OTHER',
    }),
    'the cluster does not let this user act as that one',
  ],
  [
    delegationLimit('NAME', PODS, DELEGATED),
    'the limits of a delegated session do not include it ([agents and scripts](../agents.md)); `actor` says whose it is',
  ],
  [delegationSource('192.0.2.1', DELEGATED), 'a delegated session was used from an address that it is not for'],
  [
    stepUpNeeded('NAME', PODS, { caller: { kind: 'user' }, maxAge: 900, publicUrl: 'https://…' }),
    'a rule of `stepUp` needs a more recent sign-in ([step-up](../step-up.md)); delegated sessions and workloads can never make such a request',
  ],
  [
    delegationBounds('delegation_disabled', DELEGATED),
    '`delegation.enabled` is `false` since a delegated session was made',
  ],
  [
    delegationBounds('delegation_not_allowed', DELEGATED),
    'the user of a delegated session is in none of `delegation.groups` any more',
  ],
  [
    delegationBounds('delegation_client_removed', DELEGATED),
    'a delegated session is that of a client which is not in `delegation.clients` any more',
  ],
  [
    delegationBounds('cluster_not_delegable', DELEGATED),
    'a delegated session is for a cluster which is not in `delegation.clusters` any more',
  ],
  [
    impersonationNotConfigured({ kind: 'group', name: 'NAME' }),
    '`clusters[].impersonate` does not have the group or the extra key',
  ],
  [
    impersonationUnconstrained('service_account_attributes'),
    '`clusters[].impersonate.constrained`: a node, `system:masters`, or a service account with groups, uid or extra',
  ],
  [
    constrainedRejection('impersonate-on:user-info:VERB'),
    "`clusters[].impersonate.constrained: read`: the API server lets the proxy's account do this for no user",
  ],
  [
    unsupportedRejection(),
    '`clusters[].impersonate.constrained`: the API server asked for the legacy verb ([Kubernetes versions](../clusters.md#constrained-impersonation))',
  ],
  [impersonationTooLarge(40, 32), 'more than 32 reviews would be needed for one request with `--as`'],
  [tooManyReviews(), 'too many requests of one user with `--as` are being reviewed at once'],
  [
    tooManyConnections(),
    'one user has no space for one more connection: one with large client certificates counts as several, and where memory is short each user may have fewer ([limits](../protocols.md#limits))',
  ],
  [tooManyForUser(400), '`limits.inFlightPerUser`'],
  [
    tooMuchToAudit(),
    'the audit log is behind, and has more of the requests of one account to write than its [share](../audit.md#when-a-sink-fails)',
  ],
  [tooManyAtCluster(8000), 'four fifths of `limits.connections` are open at one cluster'],
  [
    tooManyPending('connection'),
    'a connection has 100 requests to the endpoints of Portcullis itself open ([limits](../protocols.md#limits))',
  ],
  [
    tooManyPending('address'),
    'an address has 500, and none that gives way; or the oldest that waits for its client did',
  ],
  [
    tooManyPending('all'),
    'the same with 2,000 at one replica: another one may have fewer; what was refused without a response is `pending_refused` in the metrics',
  ],
  [bodyTooLarge(MOST_BODY_BYTES), 'a body that no endpoint of Portcullis takes'],
  [auditBlocked(), 'the audit log cannot be written, and `audit.onFailure` is `block`'],
  [redirectRejection(), 'the API server redirected the client'],
  [proxyTokenRejection(), 'the API server responded with 401 to the proxy’s own token'],
  [
    proxyAccountRejection('users'),
    'the API server does not let the proxy’s own account impersonate users: its role is gone, or the API server has just started; client-go tries again',
  ],
  [
    proxyAccountRejection('serviceaccounts'),
    'the account may impersonate users, but not what this request needs: a service account (`--as`), a group, a uid or an extra key',
  ],
  [upstreamUnavailable(), 'nothing was sent, or what was sent changes nothing: client-go tries again'],
  [upstreamBusy(), 'an account holds its share of the connections to this API server, or all are in use'],
  [uploadStalled(), 'the client announced a body and sent nothing of it, or nothing more, for 30 s'],
  [uploadGaveWay(), 'every connection was in use, and an account that had none needed one'],
  [upstreamUntrusted(), 'the certificate is not signed by `clusters[].caFile`, or names another host'],
  [upstreamLost(false), 'the connection ended after a request that changes something was sent'],
  [upstreamInvalid(), 'the response is no HTTP'],
  [upstreamTimeout(), 'the request was sent, and no response came in time'],
  [internalError(), 'an error of Portcullis'],
];

const SERVER = { publicUrl: 'https://…' };

/** The page. */
export const errorReference = (): string => [HEAD, ...codes(), ...requests(), ...signIns()].join('\n');

function codes(): readonly string[] {
  const all = Object.keys(ERROR_CODES) as ErrorCode[];
  return [
    '## Codes',
    '',
    'One list for all modules. Where it says *again*, nothing was done and the request may be sent again.',
    '',
    list(all.map(codeEntry)),
    '## Codes of OAuth',
    '',
    wrapped(
      '`error` of a response at `/oauth/…` of the web listener and `/-/oauth/…` of the api listener; `error_description` is for the user.',
    ),
    '',
    list(OAUTH_ERRORS.map(([code, status, when]) => entry(code, `${status}: ${when}`))),
  ];
}

const requests = (): readonly string[] => [
  '## Why a request to a cluster is rejected',
  '',
  wrapped(
    'A token that is not a valid one of Portcullis gets the same response whatever the reason; only a client that has proved to hold a session learns what became of it. What the API server itself rejects is passed on as it is.',
  ),
  '',
  '### The credential',
  '',
  rejections(CREDENTIAL_REJECTIONS, (reason) => credentialRejection(reason, SERVER)),
  'Some of them also end a request while it is with the API server. Where it changes something, its message goes on:',
  '“…; the request may have been executed: check before you repeat it”, without `Retry-After`.',
  '',
  '### The cluster',
  '',
  rejections(CLUSTER_REJECTIONS, clusterRejection),
  '### The request target',
  '',
  'Rejected and never cleaned up, because the API server might read it in another way.',
  '',
  rejections(PATH_REJECTIONS, pathRejection),
  '### The form of the request',
  '',
  list([...MALFORMED_REASONS].map(([reason, [status, because]]) => entry(reason, `${status}: ${because}`))),
  '### User impersonation',
  '',
  rejections(IMPERSONATION_REJECTIONS, impersonationRejection),
  '### A service account’s own token',
  '',
  'Where `clusters[].serviceAccountPassthrough` is on.',
  '',
  rejections(PASSTHROUGH_REJECTIONS, (reason) => passthroughRejection(reason, SERVER)),
  '### Other reasons',
  '',
  list(OTHERS.map(([rejection, because]) => rejectionEntry(rejection, because))),
];

const signIns = (): readonly string[] => [
  '## Why a sign-in is rejected',
  '',
  'Events: `sign-in-refused`, `refresh-refused`, `logout-refused`.',
  '',
  '### Claims without an identity',
  '',
  'The provider confirms the user, but the configuration makes no identity of the claims. The page has status 403.',
  '',
  list(Object.entries(IDENTITY_REJECTIONS).map(([reason, cause]) => entry(reason, cause))),
  '### The provider, the browser, the code',
  '',
  list([...SIGN_IN_REASONS].map(([reason, cause]) => entry(reason, cause))),
];

function codeEntry(code: ErrorCode): string {
  const { code: status, reason, retry } = errorRejection(new AppError(code, ''));
  const again = retry === 'no' ? '' : ', *again*';
  return entry(code, ERROR_CODES[code], [
    ['Page and admin API', `${statusOfCode[code]}, *${errorMessages[code].title}*`],
    ['Kubernetes `Status`', `${status} \`${reason}\`${again}`],
    ['Exit status', exitStatuses(code)],
  ]);
}

/** Reasons for which the command line has an exit code of its own. */
const OWN_EXIT_CODES: Partial<Record<ErrorCode, readonly [which: string, reason: string]>> = {
  not_found: ['a reason such as', 'session_not_found'],
  conflict: ['the reason', 'revocation_not_proven'],
};

function exitStatuses(code: ErrorCode): string {
  const otherwise = String(exitCodeOf(new AppError(code, '')));
  const [which, reason] = OWN_EXIT_CODES[code] ?? [];
  if (reason === undefined) return otherwise;
  return `${otherwise}; ${exitCodeOf(new AppError(code, '', { reason }))} with ${which} \`${reason}\``;
}

function rejections<T extends string>(
  causes: Readonly<Record<T, string>>,
  rejectionOf: (reason: T) => Rejection,
): string {
  const reasons = Object.keys(causes) as T[];
  return list(reasons.map((reason) => rejectionEntry(rejectionOf(reason), causes[reason])));
}

const rejectionEntry = ({ auditReason, code, reason, message }: Rejection, because: string): string =>
  entry(auditReason, because, [['Response', `${code} \`${reason}\`, “${message}”`]]);

const list = (entries: readonly string[]): string => [...entries, ''].join('\n');

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(ERROR_REFERENCE, errorReference());
