/**
 * The form of the file, section by section, with every default. Sections are parsed one by one (`load.ts`), so
 * that an error in one hides none in another.
 */
import * as z from 'zod';
import { CLIENT_AUTH_METHODS } from './client-auth.ts';
import { delegationShape } from './delegation.ts';
import { clientMetadataShape, delegationClientShape } from './delegation-clients.ts';
import { githubHost, githubOrganizations } from './github.ts';
import { outboundShape, proxiedShape } from './outbound.ts';
import { FRESHNESS_SETTINGS, PROVIDER_TYPES } from './provider-types.ts';
import { publicClientShape } from './public-clients.ts';
import { accessShape } from './access.ts';
import { list, section } from './section.ts';
import { stepUpShape } from './step-up.ts';
import {
  address,
  cidr,
  constraint,
  duration,
  pageUrl,
  longDuration,
  host,
  httpsOrigin,
  integer,
  issuerUrl,
  label,
  origin,
  redisUrl,
  size,
  tenantId,
  text,
  webhookUrl,
} from './values.ts';

/** A setting that names a file; whether it can be read is checked once all is known. */
const file = text('the path of a file');
const directory = text('the path of a directory');
const tlsFiles = { certFile: file, keyFile: file };

export const listen = section({
  api: section({
    address: address.default({ host: '0.0.0.0', port: 6443 }),
    ...tlsFiles,
    publicUrl: httpsOrigin,
    publicCaFile: file.optional(),
    proxyProtocol: z
      .enum(['off', 'required'], { error: 'off, or required (version 2, from listen.trustedProxies only)' })
      .default('off'),
  }),
  web: section({
    address: address.default({ host: '0.0.0.0', port: 8443 }),
    tls: z
      .literal('off', { error: 'off, where an ingress does TLS; else leave it out and set certFile and keyFile' })
      .optional(),
    certFile: file.optional(),
    keyFile: file.optional(),
  }),
  ops: section({ address: address.default({ host: '0.0.0.0', port: 9090 }) }).prefault({}),
  trustedProxies: list(cidr, 'CIDRs, such as 10.0.0.0/8').default([]),
});

const redis = section({
  url: redisUrl,
  sentinels: list(address, 'addresses with ports, such as "sentinel-0:26379"').default([]),
  master: text('the name under which the Sentinels know the master').optional(),
  sentinelUsernameFile: file.optional(),
  sentinelPasswordFile: file.optional(),
  usernameFile: file.optional(),
  passwordFile: file.optional(),
  caFile: file.optional(),
  prefix: z
    .string({ error: 'letters, digits, hyphens and underscores' })
    // Braces would make a second hash tag, and parts of one script's keys would land on different nodes.
    .regex(/^[A-Za-z0-9_-]{1,40}$/, { error: 'letters, digits, hyphens and underscores, at most 40' })
    .default('portcullis'),
  // Not 2: the loss of either would stop all requests.
  nodes: z
    .union([z.literal(1), z.literal(3)], { error: '1, or 3 (a master and two followers, of which one must confirm)' })
    .default(1),
});

export const store = section({
  memory: z.union([z.null(), z.literal(true), section({})], { error: '{} (nothing to set)' }).optional(),
  redis: redis.optional(),
});

export const keys = section({ signingDir: directory, sealingDir: directory, auditDir: directory.optional() });

/** Prefixes keep the users of two providers apart, and all of them away from Kubernetes' own names. */
const prefix = z
  .string({ error: 'a prefix such as "corp:"' })
  .regex(/^(?!\s)[ -~]{0,64}$/, { error: 'a prefix of printable ASCII such as "corp:", at most 64 characters' })
  .refine((value) => !/^system/i.test(value), {
    error: 'a prefix that does not begin with "system", which Kubernetes keeps for itself',
  });

const expression = text('a CEL expression').max(4096, { error: 'a CEL expression of at most 4096 characters' });
const rules = list(
  section({ expression, message: text('a message for the user: what is wrong, and what to do next') }),
  'rules',
).default([]);

export const provider = section({
  name: label,
  type: z.enum(PROVIDER_TYPES, { error: `one of ${PROVIDER_TYPES.join(', ')}` }).default('oidc'),
  issuer: issuerUrl.optional(),
  tenant: tenantId.optional(),
  groupsAs: z.enum(['id', 'name'], { error: 'id (object ids, which no one can choose) or name' }).optional(),
  serviceAccountFile: file.optional(),
  impersonatedAdmin: text(
    'the e-mail address of an administrator, in whose name the Directory API is asked',
  ).optional(),
  organizations: githubOrganizations.optional(),
  host: githubHost.optional(),
  clientId: text('the client id that the provider gave out'),
  clientAuth: z.enum(CLIENT_AUTH_METHODS, { error: `one of ${CLIENT_AUTH_METHODS.join(', ')}` }).optional(),
  clientSecretFile: file.optional(),
  clientKeyFile: file.optional(),
  clientCertFile: file.optional(),
  caFile: file.optional(),
  ...proxiedShape,
  hosts: list(host, 'host names').default([]),
  scopes: list(z.string({ error: 'a scope' }).regex(/^[!#-[\]-~]+$/, { error: 'a scope (RFC 6749 §3.3)' }), 'scopes')
    .refine((scopes) => scopes.includes('openid'), { error: 'a list of scopes with openid among them' })
    .optional(),
  usernamePrefix: prefix.optional(),
  groupsPrefix: prefix.optional(),
  username: expression.optional(),
  groups: expression.optional(),
  uid: expression.optional(),
  extra: z.record(z.string(), expression, { error: 'a mapping from keys to CEL expressions' }).default({}),
  emailVerified: z.enum(['claim', 'trusted'], { error: 'claim or trusted' }).default('claim'),
  freshness: z.enum(FRESHNESS_SETTINGS, { error: `one of ${FRESHNESS_SETTINGS.join(', ')}` }).optional(),
  backchannelLogout: z
    .enum(['session', 'account', 'off'], {
      error: 'session (what was opened in the session that ended there), account (everything of the user) or off',
    })
    .optional(),
  rules,
  userRules: rules,
});

const groupNames = list(text('a group’s name'), 'group names');
const EVERY_GROUP = '"*" (every group, set explicitly) or a list of group names';

export const cluster = section({
  name: label,
  hosts: list(host, 'host names').default([]),
  publicUrl: text('what a kubeconfig says as server').optional(),
  server: origin,
  caFile: file.optional(),
  tokenFile: file,
  allow: expression.default('true'),
  impersonate: section({
    groups: z.union([z.literal('*'), z.array(z.string().min(1))], { error: EVERY_GROUP }),
    extra: list(text('an extra key'), 'extra keys').default([]),
    constrained: constraint,
  }),
  serviceAccountPassthrough: z.boolean({ error: 'true or false' }).default(false),
});

export const console = section({ name: label, host, cluster: label, server: origin, caFile: file.optional() });

export const workload = section({
  name: label,
  issuer: issuerUrl,
  caFile: file.optional(),
  ...proxiedShape,
  hosts: list(host, 'host names').default([]),
  // No default: a rule for every token of a public issuer would let in the whole world's jobs.
  match: expression,
  username: expression.default('claims.sub'),
  groups: expression.optional(),
  usernamePrefix: prefix.optional(),
  groupsPrefix: prefix.optional(),
  clusters: list(label, 'names of clusters').default([]),
  life: duration('1m', '24h').prefault('1h'),
  role: z
    .enum(['none', 'drill', 'auditor', 'revoker'], {
      error: 'none, drill (may start drills), auditor (may read the admin API) or revoker (may revoke and lock)',
    })
    .default('none'),
});

export const outbound = section(outboundShape).prefault({});

export const admin = section({
  groups: groupNames.default([]),
  auditors: groupNames.default([]),
  // Within a day, since no session needs to last longer; and not below a minute, which is what clocks may differ by.
  freshness: z
    .union([z.literal('off'), duration('1m', '24h')], {
      error: 'off, or a duration from 1m to 24h, such as 15m: how long after their sign-in admins may act',
    })
    .prefault('15m'),
  // Off by default: with one admin on call it would prevent the revocation that cannot wait.
  dualControl: z
    .enum(['on', 'off'], {
      error: 'on (a second admin must agree to revoke a provider or everything, or to lock an admin) or off',
    })
    .default('off'),
}).prefault({});

export const sessions = section({
  // Above 15 minutes a revocation's entry would have to stay longer than the log is meant to.
  accessToken: duration('1m', '15m').prefault('5m'),
  idle: duration('1m', '720h').prefault('12h'),
  absolute: duration('1m', '720h').prefault('24h'),
  recheck: duration('30s', '1h').prefault('5m'),
  recheckGrace: duration('1m', '12h').prefault('15m'),
  binding: z
    .enum(['required', 'off'], {
      error: 'required, or off (tokens that need no key; only where a load balancer ends TLS)',
    })
    .default('required'),
  deviceCode: z
    .enum(['on', 'sameNetwork', 'off'], {
      error: 'on, sameNetwork (the browser must be in the network of the device) or off',
    })
    .default('on'),
  publicClients: list(section(publicClientShape), 'clients, each with id, and cluster or resource').default([]),
}).prefault({});

const delegationClients = list(section(delegationClientShape), 'clients, each with id and resource').default([]);
const clientMetadata = section(clientMetadataShape).prefault({});
export const delegation = section({ ...delegationShape, clients: delegationClients, clientMetadata }).prefault({});

export const access = section(accessShape).prefault({});
export const stepUp = list(section(stepUpShape), 'rules, each with rules and maxAge').default([]);

export const revocation = section({
  staleness: duration('1s', '30s').prefault('2s'),
  emptyStore: z
    .enum(['init', 'refuse'], {
      error: 'init (begin with an empty store; locks may be lost) or refuse (until an operator allows it)',
    })
    .default('init'),
}).prefault({});

const fileSink = section({
  type: z.literal('file'),
  path: file,
  maxSizeMb: integer(1, 100_000).optional(),
  rotateEvery: duration('1m', '8760h').optional(),
  keep: z
    .union([integer(1, 10_000), longDuration('1h', '36500d').transform((seconds) => ({ seconds }))], {
      error: 'how many files, from 1 to 10000, or for how long, such as 30d',
    })
    .optional(),
  gzip: z.boolean({ error: 'true or false' }).optional(),
  fsync: z
    .enum(['never', 'interval', 'always'], {
      error: 'never, interval (once a second) or always (before an event counts as written)',
    })
    .optional(),
  rejectedPath: file.optional(),
  rejectedMaxMb: integer(4, 100_000).optional(),
});

const webhookSink = section({
  type: z.literal('webhook'),
  url: webhookUrl,
  caFile: file.optional(),
  certFile: file.optional(),
  keyFile: file.optional(),
  tokenFile: file.optional(),
  ...proxiedShape,
  spoolDir: directory.optional(),
  spoolMaxMb: integer(1, 1_000_000).optional(),
  batchEvents: integer(1, 10_000).optional(),
  batchBytes: size('16KiB', '64MiB').optional(),
  batchWait: duration('0s', '1m').optional(),
  timeout: duration('1s', '1m').optional(),
});

const sink = z.discriminatedUnion('type', [section({ type: z.literal('stdout') }), fileSink, webhookSink], {
  error: 'a sink: { type: stdout }, { type: file, path: … } or { type: webhook, url: … }',
});

const names = (of: string) => list(text(`one of the ${of}`), of).optional();

/** As in Kubernetes' audit policy. */
const auditRule = section({
  level: z.enum(['None', 'Metadata'], { error: 'None or Metadata: bodies are never recorded' }),
  users: names('users'),
  userGroups: names('groups'),
  verbs: names('verbs'),
  resources: list(
    section({
      group: z.string({ error: 'an API group' }).optional(),
      resources: names('resources'),
      resourceNames: names('names of resources'),
    }),
    'resources',
  ).optional(),
  namespaces: list(z.string({ error: 'a namespace' }), 'namespaces').optional(),
  nonResourceURLs: names('paths'),
  // Kubernetes has it in nearly every policy. It leaves nothing out: `writeAhead` decides which requests have that
  // stage.
  omitStages: list(
    z.literal('RequestReceived', {
      error: 'RequestReceived, which audit.writeAhead controls; no other stage is left out',
    }),
    'stages',
  ).optional(),
});

export const audit = section({
  sinks: list(sink, 'sinks')
    .min(1, { error: 'at least one sink' })
    .prefault([{ type: 'stdout' }]),
  policy: list(auditRule, 'rules, each with level').default([]),
  onFailure: z.enum(['block', 'count'], { error: 'block (serve nothing) or count (drop and count)' }).default('block'),
  writeAhead: z
    .enum(['changes', 'off', 'sync'], {
      error:
        'changes (an event of each change is written before the API server gets it), sync (and is on the disk) or off',
    })
    .default('changes'),
  rejectionsPerMinute: integer(1, 100_000).default(60),
  execCommands: z
    .boolean({ error: 'true (exec’s commands are in the audit log) or false (they are counted)' })
    .default(false),
}).prefault({});

export const limits = section({
  headerBytes: size('4KiB', '1MiB').prefault('16KiB'),
  connections: integer(1, 1_000_000).default(10_000),
  inFlightPerPerson: integer(1, 100_000).default(400),
  groups: integer(1, 10_000).default(1000),
  idle: duration('10s', '24h').prefault('10m'),
  signInsPerMinute: integer(1, 10_000).default(30),
}).prefault({});

export const shutdown = section({
  delay: duration('0s', '10m').prefault('10s'),
  grace: duration('0s', '1h').prefault('50s'),
}).prefault({});

export const telemetry = section({
  logLevel: z.enum(['debug', 'info', 'warn', 'error'], { error: 'debug, info, warn or error' }).default('info'),
}).prefault({});

/**
 * More than five minutes is no difference of clocks, but a wrong clock: a time would prove nothing any more. Less
 * than ten seconds is less than a proof may be old (`max_age`), than requests take, and than the whole seconds of
 * tokens can express.
 */
export const clockSkew = duration('10s', '5m').prefault('1m');

export { contact } from './values.ts';

export const installUrl = pageUrl.optional();

/** Top-level settings, in the order of docs/reference/configuration.md. */
export const TOP_LEVEL = [
  'publicUrl',
  'listen',
  'store',
  'keys',
  'providers',
  'clusters',
  'consoles',
  'workload',
  'outbound',
  'admin',
  'sessions',
  'delegation',
  'access',
  'stepUp',
  'revocation',
  'audit',
  'limits',
  'shutdown',
  'telemetry',
  'clockSkew',
  'contact',
  'installUrl',
] as const;

export type ParsedProvider = z.output<typeof provider>;
export type ParsedCluster = z.output<typeof cluster>;
export type ParsedConsole = z.output<typeof console>;
export type ParsedWorkload = z.output<typeof workload>;
export type ParsedSink = z.output<typeof sink>;
export type ParsedStore = z.output<typeof store>;
