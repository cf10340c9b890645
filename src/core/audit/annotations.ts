/** Every annotation of ours in the audit log, on events of Portcullis itself and on requests to a cluster. */

/** Annotations, each under `portcullis.dev/`. */
export const AUDIT_FACTS = {
  event: 'name of an event of Portcullis itself; an event without it is a request to a cluster',
  cluster: 'the cluster, by its configured name',
  actor:
    'who acts in a delegated session, such as `claude`, or `claude/reviewer` for one that was delegated again: names that the user chose, or ids of registered clients',
  'delegated-session': 'the delegated session; `session` is then the user’s own, from which it was made',
  clusters: 'the clusters of a delegated session, by their configured names',
  rights: 'what a delegated session may do, in short',
  'grant-id':
    'the access request, and the grant that came of it; of a request to a cluster, each grant that it was made with, separated by blanks',
  role: 'the role that was asked for, by its configured name',
  ending:
    'why a grant is over: `expired`, `user`, `approver`, `admin`, `session`, `group` or `role`; of a request that was never granted: `denied`, `withdrawn`, `expired` or `session`',
  groups: 'the groups that a role gives',
  approvals: 'approvals so far, and how many are needed, such as `1/2`',
  'approved-by': 'usernames of those who approved; empty for a role that needs no approval (break-glass)',
  session: 'the session',
  account: 'the account, `PROVIDER/SUBJECT`',
  provider: 'the identity provider, or the workload rule, by its configured name',
  reason: 'why it was rejected, cut or ended, in snake_case; for an admin’s action, the admin’s own text',
  admitted:
    '`true`: Portcullis responded by itself after it had admitted the request, so the API server may have received it, and may have executed it',
  trace: 'trace id of the client’s `traceparent` (W3C Trace Context), 32 hexadecimal digits',
  passthrough: '`true`: a service account that used its own token',
  'bytes-in': 'bytes from the client, at the end of a long-running request',
  'bytes-out': 'bytes to the client, at the end of a long-running request',
  'duration-ms': 'milliseconds from the request to its end, at the end of a long-running request',
  client: 'the OAuth client',
  'grant-type': 'the OAuth grant type: `authorization_code`, `refresh_token`, `device_code` or `token_exchange`',
  audience: 'the cluster, or the admin API, for which a token was issued',
  fresh: '`true`: the user had to authenticate again at the provider',
  device: 'address of the machine that asked for a device code',
  'device-name': 'the name that the program gave its device: a claim of the user who signed in, which proves nothing',
  version: 'counts the changes of a session’s identity; of `configuration-loaded`, the version of the program',
  target: 'the target of a change, such as `session:ID`, `account:PROVIDER/SUBJECT`, `provider:NAME` or `all`',
  revocation: 'id of the revocation',
  complete: '`true`: every replica that can still accept a credential has confirmed',
  receipts: 'the receipt of each replica, such as `portcullis-0=applied portcullis-1=fenced`',
  sessions: 'number of sessions that were ended',
  'delegated-sessions':
    'the delegated sessions among them, of a session or an account: id and actors of each, such as `ID=claude ID=claude/reviewer`, at most 100',
  stream: 'audit id of the request whose stream was cut',
  'streams-closed': 'number of open streams that were cut, on all replicas together',
  'streams-cut': 'number of open streams that were cut on this replica',
  'elapsed-ms': 'milliseconds until it was proven',
  'clock-skew':
    'seconds by which the provider’s clock is ahead of this server’s, negative if it is behind; for a logout token this includes its delay, and is only given for one that the provider has signed',
  'auth-time':
    'what the provider said of when the user authenticated (`auth_time`), where that proves no fresh sign-in: a number of seconds, `absent`, `null`, or what it is instead; a text that is no date is not written',
  'asked-by': 'username of the admin who asked first, if two were needed',
  'asked-by-account': 'account of that admin',
  lock: '`true`: the account was to be locked as well',
  approval: 'id by which a second admin approves',
  outcome: 'the outcome, if it failed',
  'held-until': 'until when this replica rejects the target of a revocation that could not be written (RFC 3339)',
  drill: 'id of the drill',
  verdict: 'of a drill: `passed` or `failed`',
  replicas: 'number of replicas that took part',
  'replicas-passed': 'number of replicas on which the stream was cut',
  console: 'the in-cluster console, by its configured name',
  filter: 'the filter of a live view of the audit log, or of a list of sessions',
  by: 'the user at the shell of the server; of `access-ended`, the username of the user who ended it',
  replica: 'the replica that wrote it',
  seconds: 'how long the replica could not trust its view; of a grant, how long it lasts at most',
  survivor: '`true`: a replica that knew the locks wrote them back',
  digest: 'SHA-256 of the configuration with its defaults; it contains no secret, only the names of secret files',
  'signing-key': 'id of the key that signs access tokens now',
  'sealing-key': 'id of the key that seals what is stored now',
  files: 'names of the files that were read again',
  chain: 'the chain of the event: one for each process of a replica',
  seq: 'number of the line in its chain, from 1, without a gap',
  prev: 'SHA-256 of the previous line in the chain',
  hash: 'SHA-256 of the last line before it',
  signature: 'ES256 (base64url) over the line without this annotation, by the key of `keys.auditDir`',
  'key-id': 'id of the key that signed',
  'previous-chain': 'the previous chain, if the file has one',
  'previous-seq': 'number of its last line',
  'previous-hash': 'SHA-256 of its last line',
  sink: 'the sink that lost lines',
  first: 'number of the first lost line',
  last: 'number of the last lost line',
  count:
    'of a gap: number of lines that the sink lost; of an event that is audited once a minute: number of incidents since the last one',
  artefact: 'the artefact of a login transaction: `Interaction`, `SignIn`, `DeviceCode` or `DeviceConfirmation`',
  omitted: 'number of rejected requests without a separate event',
  addresses: 'number of addresses that they came from, as far as those were counted',
  cut: 'fields that were shortened or omitted, because they are too long or because the request was rejected for its credential, with their original length',
} as const satisfies Readonly<Record<string, string>>;

export type AuditFact = keyof typeof AUDIT_FACTS;

/** Annotations of events that are requests to a cluster. */
export const REQUEST_FACTS: readonly AuditFact[] = [
  'cluster',
  'session',
  'delegated-session',
  'actor',
  'grant-id',
  'account',
  'provider',
  'reason',
  'admitted',
  'trace',
  'passthrough',
  'bytes-in',
  'bytes-out',
  'duration-ms',
];

/** Annotations of every event that a replica writes; `cut` only if something was cut. */
export const CHAIN_FACTS: readonly AuditFact[] = ['chain', 'seq', 'prev', 'cut'];
