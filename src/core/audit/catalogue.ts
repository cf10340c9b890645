/**
 * The catalogue of the record: every event of the gate itself, and every annotation of ours on any line. What records and what reads
 * (the live tail, `audit query`, the reference page, the alerts) take their names from here, so that none of them can drift.
 */

/** Under what an event or an annotation stands in the reference. */
export type AuditChapter =
  | 'Signing in'
  | 'Sessions and credentials'
  | 'Revocation'
  | 'Administration'
  | 'Consoles'
  | 'The gate itself'
  | 'The record itself';

export interface CatalogueEntry {
  readonly chapter: AuditChapter;
  /** When it is written, in words for a security officer. */
  readonly when: string;
  /** What `responseStatus.code` says. */
  readonly code: string;
  /** Annotations beside `event`; each may be absent where it would be empty. */
  readonly facts: readonly AuditFact[];
}

/** Annotations, each under `portcullis.dev/`. */
export const AUDIT_FACTS = {
  event: 'name of an event of the gate itself; a line without it is a request to a cluster',
  cluster: 'the cluster, by its configured name',
  session: 'the session',
  account: 'the account, `PROVIDER/SUBJECT`',
  provider: 'the identity provider, or the workload rule, by its configured name',
  reason: 'why it was refused, cut or ended, in snake_case; of what an admin did, the admin’s own words',
  trace: 'trace id of the client’s `traceparent` (W3C Trace Context), 32 hexadecimal digits',
  passthrough: '`true`: a service account that passed with a token of its own',
  'bytes-in': 'bytes from the client, at the end of what is long-running',
  'bytes-out': 'bytes to the client, at the end of what is long-running',
  'duration-ms': 'milliseconds from the request to its end, at the end of what is long-running',
  client: 'the OAuth client',
  grant: 'the OAuth grant: `authorization_code`, `refresh_token`, `device_code` or `token_exchange`',
  audience: 'for which cluster, or for the admin API, a token was made',
  fresh: '`true`: the person had to authenticate anew at the provider',
  device: 'address of the machine that asked for a device code',
  version: 'counts the changes of a session’s identity; of `configuration-loaded`, the version of the program',
  target: 'what a change was about, such as `session:ID`, `account:PROVIDER/SUBJECT`, `provider:NAME` or `all`',
  revocation: 'id of the revocation',
  complete: '`true`: every replica that can still accept a credential has confirmed',
  receipts: 'what each replica answered, such as `gate-0=applied gate-1=fenced`',
  sessions: 'how many sessions were ended',
  'streams-closed': 'how many open streams were cut, on all replicas together',
  'streams-cut': 'how many open streams were cut on this replica',
  'elapsed-ms': 'milliseconds until it was proven',
  'clock-skew':
    'seconds by which the provider’s clock is ahead of this server’s, negative where it is behind; of a logout token also by how much it came late, and only of one that the provider has signed',
  'asked-by': 'username of the admin who asked first, where it took two',
  'asked-by-account': 'account of that admin',
  lock: '`true`: the account was to be locked as well',
  approval: 'id by which a second admin approves',
  outcome: 'what became of it, where it failed',
  'held-until': 'until when this replica refuses the target of a revocation that could not be tried (RFC 3339)',
  drill: 'id of the drill',
  verdict: 'of a drill: `passed` or `failed`',
  replicas: 'how many replicas took part',
  'replicas-passed': 'on how many of them the stream was cut',
  console: 'the in-cluster console, by its configured name',
  filter: 'what a tail of the record, or a list of sessions, was asked to show',
  by: 'who was at the shell of the server',
  replica: 'the replica that wrote it',
  seconds: 'for how long the replica could not trust its view',
  survivor: '`true`: a replica that knew the locks wrote them back',
  digest:
    'SHA-256 of the configuration as it was read, defaults filled in; it holds no secret, only the names of their files',
  'signing-key': 'id of the key that signs access tokens now',
  'sealing-key': 'id of the key that seals what is stored now',
  files: 'names of the files that were read anew',
  chain: 'the chain that the line belongs to: one for each life of a replica',
  seq: 'number of the line in its chain, from 1, without a gap',
  prev: 'SHA-256 of the line before it in the chain',
  hash: 'SHA-256 of the last line before it',
  signature: 'ES256 (base64url) over the line without this annotation, by the key of `keys.auditDir`',
  'key-id': 'id of the key that signed',
  'previous-chain': 'the chain before, where the file has one',
  'previous-seq': 'number of its last line',
  'previous-hash': 'SHA-256 of its last line',
  sink: 'the sink that lost lines',
  first: 'number of the first line that it lost',
  last: 'number of the last line that it lost',
  count:
    'of a gap: how many lines the sink lost; of what is audited once a minute: how many there were since the last one',
  artefact:
    'what the store keeps of a sign-in under way: `Interaction`, `SignIn`, `DeviceCode` or `DeviceConfirmation`',
  omitted: 'how many rejected requests have no event of their own',
  addresses: 'from how many addresses they came, as far as those were counted',
  cut: 'what was shortened or left out because the request was rejected for its credential, with the length that it had',
} as const satisfies Readonly<Record<string, string>>;

export type AuditFact = keyof typeof AUDIT_FACTS;

/** On lines that are requests to a cluster. */
export const REQUEST_FACTS: readonly AuditFact[] = [
  'cluster',
  'session',
  'account',
  'provider',
  'reason',
  'trace',
  'passthrough',
  'bytes-in',
  'bytes-out',
  'duration-ms',
];

/** On every line that a replica writes; `cut` only where something was. */
export const CHAIN_FACTS: readonly AuditFact[] = ['chain', 'seq', 'prev', 'cut'];

const seen = 'HTTP status that the caller saw';
const always = '200';

export const PORTCULLIS_EVENTS = {
  'sign-in': {
    chapter: 'Signing in',
    when: 'somebody has signed in, and a session stands',
    code: '303',
    facts: ['account', 'session', 'provider', 'client', 'fresh', 'device'],
  },
  'sign-in-refused': {
    chapter: 'Signing in',
    when: 'a sign-in came to nothing: by a rule, a lock, the provider, a limit, or a request that made no sense',
    code: seen,
    facts: ['account', 'provider', 'reason', 'client', 'device', 'count', 'clock-skew'],
  },
  'sign-ins-displaced': {
    chapter: 'Signing in',
    when: 'sign-ins have used up their part of the store, and some under way had to make room for new ones; at most once a minute for each kind',
    code: always,
    facts: ['replica', 'artefact', 'count'],
  },
  'workload-exchange': {
    chapter: 'Signing in',
    when: 'a workload’s own token was exchanged for one of ours',
    code: always,
    facts: ['account', 'session', 'provider', 'grant', 'audience', 'client'],
  },
  'workload-refused': {
    chapter: 'Signing in',
    when: 'a workload’s token was not exchanged',
    code: seen,
    facts: ['account', 'session', 'provider', 'reason', 'client'],
  },
  refresh: {
    chapter: 'Sessions and credentials',
    when: 'an access token was made, the first one of a session too',
    code: always,
    facts: ['account', 'session', 'provider', 'grant', 'audience', 'client'],
  },
  'refresh-refused': {
    chapter: 'Sessions and credentials',
    when: 'an access token was asked for and not made',
    code: seen,
    facts: ['account', 'session', 'provider', 'reason', 'client', 'clock-skew'],
  },
  'identity-changed': {
    chapter: 'Sessions and credentials',
    when: 'the provider says other groups or another name for somebody with a session; earlier tokens are refused from here on',
    code: always,
    facts: ['account', 'session', 'provider', 'version'],
  },
  logout: {
    chapter: 'Sessions and credentials',
    when: 'somebody signed out: here, with the plugin, on their own page or at the provider',
    code: seen,
    facts: ['account', 'session', 'provider', 'reason', 'client', 'target', 'complete', 'sessions', 'streams-closed'],
  },
  'logout-refused': {
    chapter: 'Sessions and credentials',
    when: 'a provider’s logout token was not accepted, or could not be acted on; or ending a session at one’s own page was: it came from another site, with a wrong token, or from nobody',
    code: seen,
    facts: ['account', 'session', 'provider', 'reason', 'target', 'clock-skew'],
  },
  'session-ended': {
    chapter: 'Sessions and credentials',
    when: 'a session came to its end by itself while something of it was open: its time was over, it was idle, or its provider refused',
    code: always,
    facts: ['account', 'session', 'provider', 'reason', 'replica', 'streams-cut'],
  },
  revocation: {
    chapter: 'Revocation',
    when: 'somebody revoked, with the receipt; also where it failed, and where a code or refresh token came twice',
    code: '200 proven, 202 written and being proven; else what the caller saw',
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
      'streams-closed',
      'approval',
      'asked-by',
      'asked-by-account',
      'outcome',
      'held-until',
    ],
  },
  'revocation-proven': {
    chapter: 'Revocation',
    when: 'the proof has come for a revocation that was answered before it',
    code: always,
    facts: ['account', 'session', 'reason', 'target', 'revocation', 'receipts', 'elapsed-ms', 'streams-closed'],
  },
  'approval-asked': {
    chapter: 'Revocation',
    when: 'an admin asked for what takes a second one; nothing is done yet',
    code: '409',
    facts: ['account', 'session', 'reason', 'target', 'lock', 'approval'],
  },
  lock: {
    chapter: 'Revocation',
    when: 'an account was locked, beside the `revocation` that goes with it',
    code: seen,
    facts: [
      'account',
      'session',
      'reason',
      'target',
      'revocation',
      'complete',
      'receipts',
      'sessions',
      'streams-closed',
      'approval',
      'asked-by',
      'asked-by-account',
    ],
  },
  unlock: {
    chapter: 'Revocation',
    when: 'a lock was taken off, or there was none; from the server’s own shell too',
    code: '200, 404 where there was none; else what the caller saw',
    facts: ['account', 'session', 'reason', 'target', 'outcome', 'by'],
  },
  'fresh-sign-in-lifted': {
    chapter: 'Revocation',
    when: 'an account that was revoked need not authenticate at its provider before it signs in again, or needed not to; from the server’s own shell too',
    code: '200, 404 where it needed not to; else what the caller saw',
    facts: ['account', 'session', 'reason', 'target', 'outcome', 'by'],
  },
  'admin-read': {
    chapter: 'Administration',
    when: 'an admin or auditor has read sessions, revocations, locks, replicas, settings or the record',
    code: seen,
    facts: ['account', 'session', 'reason', 'target', 'revocation', 'filter'],
  },
  'admin-refused': {
    chapter: 'Administration',
    when: 'somebody tried what is for admins and auditors, and may not',
    code: '401, 403 or 429',
    facts: ['account', 'session', 'reason'],
  },
  drill: {
    chapter: 'Administration',
    when: 'a drill has ended: a session was opened, revoked, and watched on every replica',
    code: seen,
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
    when: 'somebody opened an in-cluster console in the browser',
    code: '303',
    facts: ['account', 'session', 'console', 'cluster'],
  },
  'console-refused': {
    chapter: 'Consoles',
    when: 'somebody was not let into a console',
    code: seen,
    facts: ['account', 'session', 'reason', 'console', 'cluster'],
  },
  'malformed-request': {
    chapter: 'The gate itself',
    when: 'what came on the api listener is not HTTP as the gate reads it',
    code: seen,
    facts: ['reason'],
  },
  'rejections-omitted': {
    chapter: 'The gate itself',
    when: 'requests without a good credential came from one address faster than they are audited (`audit.rejectionsPerMinute`), within the last minute; or, without an address, from many',
    code: always,
    facts: ['account', 'session', 'omitted', 'addresses'],
  },
  'server-started': {
    chapter: 'The gate itself',
    when: 'a replica listens; it serves with its first lease',
    code: always,
    facts: ['replica'],
  },
  'server-stopped': {
    chapter: 'The gate itself',
    when: 'a replica has come to an orderly stop',
    code: always,
    facts: ['replica'],
  },
  'configuration-loaded': {
    chapter: 'The gate itself',
    when: 'a replica started with this configuration and these keys; another digest is another configuration',
    code: always,
    facts: ['replica', 'digest', 'version', 'signing-key', 'sealing-key'],
  },
  'files-reloaded': {
    chapter: 'The gate itself',
    when: 'a replica took up a new certificate or new authorities while it ran',
    code: always,
    facts: ['replica', 'files'],
  },
  'replica-fenced': {
    chapter: 'The gate itself',
    when: 'a replica cannot trust its view any more: it cut everything and refuses everything until it can',
    code: always,
    facts: ['replica'],
  },
  'replica-serving': {
    chapter: 'The gate itself',
    when: 'a replica that had been fenced serves again: for so long, and for this reason, it could not trust its view',
    code: always,
    facts: ['replica', 'reason', 'seconds'],
  },
  'epoch-began': {
    chapter: 'The gate itself',
    when: 'the store began a new epoch (restart, failover, emptied or rolled back): everybody signs in again',
    code: always,
    facts: ['replica', 'reason', 'survivor'],
  },
  'audit-opened': {
    chapter: 'The record itself',
    when: 'a replica begins its chain; the first line of it',
    code: always,
    facts: ['replica', 'previous-chain', 'previous-seq', 'previous-hash', 'key-id', 'signature'],
  },
  'audit-checkpoint': {
    chapter: 'The record itself',
    when: 'now and then while there are lines: the head of the chain, signed',
    code: always,
    facts: ['replica', 'hash', 'key-id', 'signature'],
  },
  'audit-gap': {
    chapter: 'The record itself',
    when: 'a sink that had lost lines works again: which lines it lacks',
    code: always,
    facts: ['replica', 'sink', 'first', 'last', 'count', 'key-id', 'signature'],
  },
  'audit-closed': {
    chapter: 'The record itself',
    when: 'an orderly stop; the last line of the chain',
    code: always,
    facts: ['replica', 'hash', 'key-id', 'signature'],
  },
} as const satisfies Readonly<Record<string, CatalogueEntry>>;

export type PortcullisEventName = keyof typeof PORTCULLIS_EVENTS;

/** @returns whether the record has an event of this name */
export const isPortcullisEventName = (name: string): name is PortcullisEventName =>
  Object.hasOwn(PORTCULLIS_EVENTS, name);
