/** What the references of the APIs say before their operations. */
import { CALLS_PER_MINUTE } from '../src/http/call-limits.ts';

export const REGENERATE_API = 'node scripts/api-reference.ts';

export const ADMIN_HEAD = `# The admin API

<!-- Written by \`${REGENERATE_API}\` from the table of operations. Do not edit. -->

Sessions, revocations, locks, replicas, drills and the live audit log, for scripts and for the admin pages.
[admin-api.openapi.json](admin-api.openapi.json) describes the same for programs (OpenAPI 3.1); a server has its own
copy at \`openapi.json\`.

## Two addresses

Pages use \`/admin/api/v1\` on the web listener:

- The caller is identified by the browser’s cookie.
- A change needs the \`Origin\` of Portcullis, and the header \`X-CSRF-Token\` with the token of any form of its pages.
- A request with an \`Authorization\` header is rejected.

Programs use \`/-/admin/api/v1\` on the api listener:

- The caller is identified by \`Authorization: Bearer TOKEN\`. The token’s audience is \`urn:portcullis:admin\`, and the
  connection has the client certificate that the token is bound to (RFC 8705). With \`sessions.binding: off\`, unbound
  tokens are accepted too.
- Cookies are ignored.

Admins (\`admin.groups\`) read and change, and auditors (\`admin.auditors\`) read. A workload has the role of its rule
([workloads](../workloads.md#workloads-at-the-admin-api)): \`auditor\` reads, \`revoker\` revokes and locks, and
\`drill\` starts drills. A change by an admin needs a sign-in that is not older than \`admin.freshness\`.

\`portcullis api\` sends any of these requests that responds with one JSON document, with your session or that of a
workload:

\`\`\`sh
portcullis api GET '/sessions?idle=12h' --paginate | jq -r '.sessions[].username'
portcullis api POST /revocations --body '{"account": "corp/00u1x", "reason": "INC-4711"}'
\`\`\`

Any other program gets a token, and the certificate that it is bound to, from \`portcullis get-token --admin\`:

\`\`\`sh
umask 077
portcullis get-token --admin > credential.json
jq -r .status.clientCertificateData credential.json > admin.crt
jq -r .status.clientKeyData credential.json > admin.key
jq -r '"Authorization: Bearer " + .status.token' credential.json > admin.header
curl -sSf --cert admin.crt --key admin.key --header @admin.header https://api.portcullis.example.com/-/admin/api/v1/sessions
\`\`\`

Add \`--cacert\` where the server's certificate is from a CA of your own. The files are as good as the admin's session
for five minutes: delete them afterwards.

## Rules for every call

- **Unknown names are rejected.** A query parameter or field that is not listed here is 400, so that a mistyped one
  never makes a request wider. Responses may gain fields: ignore those that you do not know.
- **Bodies** are JSON of at most 16 KiB, sent as \`application/json\`.
- **Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\` for programs, and a \`detail\` that says
  what happened and what to do next. \`requestId\`, also in the header \`X-Request-Id\`, is the id of the audit event.
- **Pages.** Send the \`cursor\` of each response back, with the same other parameters, until a response has none.
  With a filter a page may be short, even empty, and still have a cursor.
- **Two attempts, one revocation.** \`Idempotency-Key\` (a UUID), or \`requestId\` in the body, makes a repeated request
  the same request: it has the same result, brought up to date. The same key with another request is 409
  \`request_id_reused\`. Keys are known for ten minutes.
- **Unchanged.** Where a response has an \`ETag\`, a request with it in \`If-None-Match\` is 304 while nothing has
  changed. The responses still have \`Cache-Control: no-store\`: keep them in memory only.
- **Limits**, for each account and replica: ${CALLS_PER_MINUTE.reads} reads and ${CALLS_PER_MINUTE.changes} changes a minute. The changes may come all at
  the same time. Reads and pages are made one at a time, and 24 may wait (audit searches and the health of clusters and
  providers do not count here): another one at the same moment is 429. For each address: ${CALLS_PER_MINUTE.rejected} calls a minute without a
  valid credential; a caller with a valid one never waits because of them. A 429 has \`Retry-After\`.
- **Audit.** Every call is audited, a rejected one too, with its reason: a read with the resource and the filter, a
  change with the reason that the admin gave.
`;

export const ACCESS_HEAD = `# The API for access requests

<!-- Written by \`${REGENERATE_API}\` from the table of operations. Do not edit. -->

With this API a program asks for a role for a while, and approves, denies and ends. The command line uses it. It is at
the api listener, under \`/-/access\` ([the decision](../decisions/0046-access-requests.md)).
[access-api.openapi.json](access-api.openapi.json) describes the same for programs (OpenAPI 3.1).

The caller sends an access token as \`Authorization: Bearer TOKEN\`, over a connection with the client certificate that
the token is bound to. Its audience is \`urn:portcullis:self\`: a refresh at \`/-/oauth/token\` with
\`resource=urn:portcullis:self\` returns one.
Delegated sessions and workloads are rejected.

Bodies are JSON of at most 32 kB. Errors are \`application/problem+json\` (RFC 9457), with a \`code\` to branch on and a
\`detail\` for the user that says what to do. Each is audited, as \`access-refused\`. All texts of users in responses are
as they were typed, but on one line and without control and invisible characters: escape them where they are shown.
`;

export const DELEGATIONS_HEAD = `# The API for delegated sessions

<!-- Written by \`${REGENERATE_API}\` from the table of operations. Do not edit. -->

With this API a program makes delegated sessions from its own session, lists them and ends them. The command line uses
it. It is at the api listener, under \`/-/delegations\` ([the decision](../decisions/0044-delegated-sessions.md)).
[delegations-api.openapi.json](delegations-api.openapi.json) describes the same for programs (OpenAPI 3.1).

The caller sends an access token as \`Authorization: Bearer TOKEN\`, over a connection with the client certificate that
the token is bound to. Its audience is \`urn:portcullis:self\`: a refresh at \`/-/oauth/token\` with
\`resource=urn:portcullis:self\` returns one.
A token for a cluster or for the admin API is not accepted, and workloads
get none.

One order of an account is judged at a time: another one at the same moment is 429, with \`Retry-After\`, and
\`limits.signInsPerMinute\` bounds how many an account may send. All delegated sessions of an account count together,
apart from its user’s own sessions: a script cannot keep its user from ending it.

Bodies are JSON. Errors are \`application/problem+json\` (RFC 9457), with a \`code\` to branch on and a \`detail\` for the
user that says what to do. Each is audited, as \`delegation-refused\`.
`;

export const SESSIONS_HEAD = `# The API for own sessions

<!-- Written by \`${REGENERATE_API}\` from the table of operations. Do not edit. -->

With this API a program lists the sessions in which its user is signed in, and ends one, such as that of a laptop that
was lost. \`portcullis sessions\` uses it where the user is neither an admin nor an auditor. It is at the api listener,
under \`/-/sessions\`.
[sessions-api.openapi.json](sessions-api.openapi.json) describes the same for programs (OpenAPI 3.1).

The caller sends an access token as \`Authorization: Bearer TOKEN\`, over a connection with the client certificate that
the token is bound to. Its audience is \`urn:portcullis:self\`: a refresh at \`/-/oauth/token\` with
\`resource=urn:portcullis:self\` returns one. Workloads get none, and delegated sessions are rejected.

Bodies are JSON. Errors are \`application/problem+json\` (RFC 9457), with a \`code\` to branch on and a \`detail\` for the
user that says what to do. Each is audited, as \`logout-refused\`.
`;

export const STEP_UP_HEAD = `# The API for step-up

<!-- Written by \`${REGENERATE_API}\` from the table of operations. Do not edit. -->

With this API a program has its user prove at the identity provider that it is they who use its session, which goes on
([step-up](../step-up.md)). The command line uses it. It is at the api listener, under \`/-/step-up\`.
[step-up-api.openapi.json](step-up-api.openapi.json) describes the same for programs (OpenAPI 3.1).

The caller sends an access token as \`Authorization: Bearer TOKEN\`, over a connection with the client certificate that
the token is bound to. Its audience is \`urn:portcullis:self\`: a refresh at \`/-/oauth/token\` with
\`resource=urn:portcullis:self\` returns one.
Workloads get none.

Bodies are JSON. Errors are \`application/problem+json\` (RFC 9457), with a \`code\` to branch on and a \`detail\` for the
user that says what to do. Each is audited, as \`step-up-refused\`, but for a poll of what is over.
`;
