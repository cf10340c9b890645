/**
 * Writes docs/reference/error-codes.md from the code: `node scripts/error-reference.ts`. A unit test compares the two. Statuses and
 * messages are what the edges make of each code and reason; the words about causes stand in rejection-reasons.ts.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exitCodeOf } from '../src/cli/errors.ts';
import { AppError, type ErrorCode } from '../src/core/errors.ts';
import { type Rejection } from '../src/proxy/status.ts';
import {
  auditBlocked,
  clusterRejection,
  credentialRejection,
  delegationDenied,
  delegationOverLimit,
  delegationTooLarge,
  errorRejection,
  impersonationRejection,
  internalError,
  passthroughRejection,
  pathRejection,
  ownAccountRejection,
  ownTokenRejection,
  redirectRejection,
  tooManyAtCluster,
  tooManyOfPerson,
  tooManyReviews,
  upstreamInvalid,
  upstreamLost,
  upstreamTimeout,
  upstreamUnavailable,
  upstreamUntrusted,
} from '../src/proxy/rejections.ts';
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
import { MALFORMED_REASONS, SIGN_IN_REASONS } from './sign-in-reasons.ts';

export const ERROR_REFERENCE = fileURLToPath(new URL('../docs/reference/error-codes.md', import.meta.url));

export const REGENERATE_ERRORS = 'node scripts/error-reference.ts';

const HEAD = `# Error codes

<!-- Written by \`${REGENERATE_ERRORS}\` from the code. Do not edit. -->

A page, an answer to kubectl and a message of the command line say little and what to do next. The record has the precise reason, in the annotation \`portcullis.dev/reason\`:
\`portcullis audit query --refused FILE\` shows what was refused. Give the request id or the audit id of the answer to who runs the gate.

Messages of the command line, one by one: [When the command line says no](../troubleshooting.md). Problem codes of the admin API: [The admin API](admin-api.md).
`;

/** What the token endpoint and the authorization endpoint answer (RFC 6749, 8628, 8693, 8707), and when that is so here. */
export const OAUTH_ERRORS: readonly (readonly [code: string, status: string, when: string])[] = [
  [
    'invalid_request',
    '400',
    'a parameter is missing, malformed or repeated; in a token exchange also a subject token that is not accepted (RFC 8693 §2.2.2). Correct the request, or get a new token from its issuer',
  ],
  ['invalid_client', '401', 'there is no client of this id. Check `client_id`'],
  [
    'invalid_grant',
    '400',
    'the code, refresh token or session is over: used, expired, signed out or revoked, or of another key. Sign in again',
  ],
  ['unauthorized_client', '400', 'the client may not use this grant or this way of authentication'],
  ['unsupported_grant_type', '400', 'the grant is none of this gate'],
  ['invalid_scope', '400', 'a scope that is not offered'],
  [
    'invalid_target',
    '400',
    '`resource` is no cluster, one that was added after the sign-in, or one that the person may not use. Sign in again, or ask for access',
  ],
  ['access_denied', '400', 'the person, the provider or a rule said no'],
  ['authorization_pending', '400', 'device code: nobody has typed the code yet. Ask again after the interval'],
  ['slow_down', '400', 'device code: asked too often. Wait five seconds longer'],
  ['expired_token', '400', 'device code: nobody typed it in time. Begin again'],
  [
    'temporarily_unavailable',
    '503',
    'store, gate or provider away: nothing was decided and nothing used up; `Retry-After` says when to try again. 429 where too much was asked for',
  ],
  ['server_error', '500', 'a fault of the gate'],
];

/** Refusals with a reason of their own, each with what it is because of. */
const OTHERS: readonly (readonly [rejection: Rejection, because: string])[] = [
  [
    delegationDenied('NAME', { group: '', resource: 'users', subresource: '', namespace: '', name: 'OTHER' }),
    'the cluster does not let this person act as that one',
  ],
  [
    delegationOverLimit({ kind: 'group', name: 'NAME' }),
    '`clusters[].impersonate` does not have the group or the extra key',
  ],
  [delegationTooLarge(40, 32), 'more than 32 reviews would be needed for one request with `--as`'],
  [tooManyReviews(), 'too many requests of one person with `--as` are being reviewed at once'],
  [tooManyOfPerson(400), '`limits.inFlightPerPerson`'],
  [tooManyAtCluster(8000), 'four fifths of `limits.connections` are open at one cluster'],
  [auditBlocked(), 'the record cannot be written, and `audit.onFailure` is `block`'],
  [redirectRejection(), 'the API server sent the client elsewhere'],
  [ownTokenRejection(), 'the API server answered 401 to the gate’s own token'],
  [
    ownAccountRejection('users'),
    'the API server does not let the proxy’s own account impersonate users: its role is gone, or the API server has just started; client-go tries again',
  ],
  [
    ownAccountRejection('serviceaccounts'),
    'the account may impersonate users, but not what this request needs: a service account (`--as`), a group, a uid or an extra key',
  ],
  [upstreamUnavailable(), 'nothing was sent, or what was sent changes nothing: client-go tries again'],
  [upstreamUntrusted(), 'the certificate is not signed by `clusters[].caFile`, or names another host'],
  [upstreamLost(false), 'the connection ended after a request that changes something was sent'],
  [upstreamInvalid(), 'what came back is no HTTP'],
  [upstreamTimeout(), 'the request was sent, and no answer came in time'],
  [internalError(), 'a fault of the gate'],
];

const WORDS = { publicUrl: 'https://…' };

/** The page. */
export const errorReference = (): string => [HEAD, ...codes(), ...requests(), ...signIns()].join('\n');

function codes(): readonly string[] {
  const all = Object.keys(ERROR_CODES) as ErrorCode[];
  return [
    '## Codes',
    '',
    'One list for all rooms. Where it says *again*, nothing was done and the request may be sent again.',
    '',
    table(
      [
        'Code',
        'Page and admin API',
        'Kubernetes `Status`',
        'Exit status',
        'Title of the page',
        'What it means, and what to do',
      ],
      all.map(codeRow),
    ),
    '## Codes of OAuth',
    '',
    '`error` of an answer at `/oauth/…` of the web listener and `/-/oauth/…` of the api listener; `error_description` is for the person.',
    '',
    table(
      ['Code', 'Status', 'When'],
      OAUTH_ERRORS.map(([code, status, when]) => [`\`${code}\``, status, when]),
    ),
  ];
}

const requests = (): readonly string[] => [
  '## Why a request to a cluster is refused',
  '',
  'A token that is not a good one of this gate gets the same answer whatever the reason; only who has proved to hold a session hears what became of it. What the API server itself refuses is passed on as it is.',
  '',
  '### The credential',
  '',
  rejections(CREDENTIAL_REJECTIONS, (reason) => credentialRejection(reason, WORDS)),
  '### The cluster',
  '',
  rejections(CLUSTER_REJECTIONS, clusterRejection),
  '### The request target',
  '',
  'Refused and never cleaned up, because the API server might read it in another way.',
  '',
  rejections(PATH_REJECTIONS, pathRejection),
  '### The form of the request',
  '',
  table(
    ['Reason', 'Because of', 'Status'],
    [...MALFORMED_REASONS].map(([reason, [status, because]]) => [`\`${reason}\``, because, status]),
  ),
  '### Acting as somebody else',
  '',
  rejections(IMPERSONATION_REJECTIONS, impersonationRejection),
  '### A service account’s own token',
  '',
  'Where `clusters[].serviceAccountPassthrough` is on.',
  '',
  rejections(PASSTHROUGH_REJECTIONS, (reason) => passthroughRejection(reason, WORDS)),
  '### Other reasons',
  '',
  table(
    ['Reason', 'Because of', 'Answer', 'Message'],
    OTHERS.map(([rejection, because]) => rejectionRow(rejection, because)),
  ),
];

const signIns = (): readonly string[] => [
  '## Why a sign-in is refused',
  '',
  'Events: `sign-in-refused`, `refresh-refused`, `logout-refused`.',
  '',
  '### Claims that nobody is made of',
  '',
  'The provider vouches for the person, and the configuration makes nobody of the claims. The page says 403.',
  '',
  table(
    ['Reason', 'What is wrong'],
    Object.entries(IDENTITY_REJECTIONS).map(([reason, words]) => [`\`${reason}\``, words]),
  ),
  '### The provider, the browser, the code',
  '',
  table(
    ['Reason', 'What is wrong'],
    [...SIGN_IN_REASONS].map(([reason, words]) => [`\`${reason}\``, words]),
  ),
];

function codeRow(code: ErrorCode): readonly string[] {
  const { code: status, reason, retry } = errorRejection(new AppError(code, ''));
  const again = retry === 'no' ? '' : ', *again*';
  const exit = String(exitCodeOf(new AppError(code, '')));
  return [
    `\`${code}\``,
    String(statusOfCode[code]),
    `${status} \`${reason}\`${again}`,
    exit,
    errorMessages[code].title,
    ERROR_CODES[code],
  ];
}

function rejections<T extends string>(
  words: Readonly<Record<T, string>>,
  rejectionOf: (reason: T) => Rejection,
): string {
  const reasons = Object.keys(words) as T[];
  const rows = reasons.map((reason) => rejectionRow(rejectionOf(reason), words[reason]));
  return table(['Reason', 'Because of', 'Answer', 'Message'], rows);
}

const rejectionRow = ({ auditReason, code, reason, message }: Rejection, because: string): readonly string[] => [
  `\`${auditReason}\``,
  because,
  `${code} \`${reason}\``,
  message,
];

const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${headings.join(' | ')} |`,
    `|${'---|'.repeat(headings.length)}`,
    ...rows.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`),
    '',
  ].join('\n');

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(ERROR_REFERENCE, errorReference());
