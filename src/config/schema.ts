/**
 * Every setting of the file: the sections, and what a section of a few settings holds. A setting has its form, its
 * default and its description (`meta`) beside its key, and nowhere else.
 */
import * as z from 'zod';
import { access } from './access.ts';
import { audit } from './audit.ts';
import { cluster, console } from './clusters.ts';
import { delegation } from './delegation.ts';
import { listen } from './listen.ts';
import { outbound } from './outbound.ts';
import { provider } from './providers.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { sessions } from './sessions.ts';
import { stepUp } from './step-up.ts';
import { store } from './store.ts';
import { contact, duration, integer, origin, pageUrl, size, text } from './values.ts';
import { workload } from './workload.ts';

const keys = section({
  signingDir: file('directory').meta({
    text: 'JWK files of the keys that sign tokens. Made by `portcullis keys generate`.',
  }),
  sealingDir: file('directory').meta({
    text: 'JWK files of the keys that seal values in Redis. Made by the same command.',
  }),
  auditDir: file('directory').exactOptional().meta({
    text: 'JWK files of the keys that sign the audit log. Without it there is no proof that the audit log was not rewritten as a whole.',
  }),
});

const groupNames = list(text('a group’s name'), 'group names');

const admin = section({
  groups: groupNames
    .default([])
    .meta({ text: 'Groups, with their prefix, whose members are admins: they read and act.' }),
  auditors: groupNames.default([]).meta({ text: 'Groups, with their prefix, whose members read.' }),
  // Within a day, since no session needs to last longer; and not below a minute, which is what clocks may differ by.
  freshness: z
    .union([z.literal('off'), duration('1m', '24h')], {
      error: 'off, or a duration from 1m to 24h, such as 15m: how long after their sign-in admins may act',
    })
    .prefault('15m')
    .meta({
      text: 'How long after authenticating at their provider admins may revoke, lock, unlock and drill; then they sign in again. Their provider has to say when that was, so groups of type `google` and `github` cannot be admins while it is on.',
    }),
  // Off by default: with one admin on call it would prevent the revocation that cannot wait.
  dualControl: z
    .enum(['on', 'off'], {
      error: 'on (a second admin must agree to revoke a provider or everything, or to lock an admin) or off',
    })
    .default('off')
    .meta({ text: '`on`: revoking a provider or everything, and locking an admin, waits for a second admin.' }),
}).prefault({});

const revocation = section({
  staleness: duration('1s', '30s').prefault('2s').meta({
    text: 'How old the view of the revocation log may be before a replica rejects all requests. Replicas may differ in it while it is changed.',
  }),
  emptyStore: z
    .enum(['init', 'refuse'], {
      error: 'init (begin with an empty store; locks may be lost) or refuse (until an operator allows it)',
    })
    .default('init')
    .meta({
      text: 'What a replica that has just started does with an empty Redis. `init`: begins with an empty store; locks on accounts may have been lost with the data. `refuse`: serves nothing until an operator has checked it, and has started one replica with `init`.',
    }),
}).prefault({});

const limits = section({
  headerBytes: size('4KiB', '1MiB').prefault('16KiB').meta({ text: 'How large the headers of a request may be.' }),
  connections: integer(1, 1_000_000).default(10_000).meta({
    text: 'Connections to the api listener at once, and as many to the web listener. Requests at one cluster may be four fifths of it, so that one that hangs leaves capacity for the others.',
  }),
  inFlightPerUser: integer(1, 100_000).default(400).meta({
    text: 'Requests and watches of one user at once, over all their sessions, and as many at the web consoles; beyond it 429.',
  }),
  groups: integer(1, 10_000).default(1000).meta({
    text: 'A user with more groups is rejected at sign-in. The groups that the provider sends count, before `groups` filters it and before any expression is evaluated.',
  }),
  idle: duration('10s', '24h').prefault('10m').meta({
    text: 'How long a connection to the api listener may stay without a request; a quiet watch or exec is none.',
  }),
  signInsPerMinute: integer(1, 10_000).default(30).meta({
    text: 'Sign-ins that one address may start in a minute, at each replica: authorization requests (and as many that continue one), redirects to a provider and device codes, each by itself; beyond it 429. Behind an ingress that `listen.trustedProxies` does not name, the web listener counts none.',
  }),
}).prefault({});

const shutdown = section({
  delay: duration('0s', '10m').prefault('10s').meta({ text: 'After SIGTERM: still accepting, no longer ready.' }),
  grace: duration('0s', '1h').prefault('50s').meta({ text: 'After that: for what is in flight.' }),
}).prefault({});

const telemetry = section({
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error'], { error: 'debug, info, warn or error' })
    .default('info')
    .meta({ text: 'The level of the log. The audit log is not part of it.' }),
}).prefault({});

/**
 * More than five minutes is no difference of clocks, but a wrong clock: a time would prove nothing any more. Less
 * than ten seconds is less than a proof may be old (`max_age`), than requests take, and than the whole seconds of
 * tokens can express.
 */
const clockSkew = duration('10s', '5m').prefault('1m').meta({
  text: 'By how much the clocks of identity providers, and of workloads’ issuers, may differ from this server’s, in either direction. An ID token that is further in the future is rejected (`provider_clock_off`), and a logout token that is further off or older than five minutes beyond it. How fresh an admin’s proof is (`admin.freshness`) is checked with it too, and the first sign-in after a revocation: a user who authenticated within this time before it passes for one who has authenticated since.',
});

const installUrl = pageUrl.exactOptional().meta({
  text: 'The page where users get the command line. `/me` links to it, and the kubeconfig that `/me` offers names it, so that kubectl prints it where the command is missing.',
  default: 'both name `docs/install-cli.md`',
});

/** The items of a list that has to have some. */
const someOf = <T extends z.ZodType>(item: T, of: string) => {
  const error = `a list of at least one of the ${of}`;
  return z.array(item, { error }).min(1, { error });
};

/** In the order of docs/reference/configuration.md. One strict object, so that all errors are found together. */
export const configuration = section({
  publicUrl: origin.meta({
    text: "The web listener as browsers see it, and the issuer of Portcullis' tokens. No path, no trailing slash.",
  }),
  listen: listen.meta({ text: 'Three listeners.' }),
  store: store.meta({
    text: 'Exactly one of redis and memory. "memory: {}" is for one replica and forgets at a restart.',
  }),
  keys: keys.meta({ text: 'Directories of JWK files; made by: portcullis keys generate.' }),
  providers: someOf(provider, 'providers').meta({ text: 'Where users sign in; one or more.' }),
  clusters: someOf(cluster, 'clusters').meta({ text: 'The clusters that users reach; one or more.' }),
  consoles: list(console, 'consoles').default([]).meta({
    text: 'Web consoles in the cluster, such as Headlamp, behind the browser sign-in of Portcullis (docs/consoles.md).',
  }),
  workload: list(workload, 'workload rules').default([]).meta({
    text: 'Workloads (CI jobs, service accounts) that may exchange a token of their own issuer, whose audience is publicUrl, for one of Portcullis (RFC 8693, client_id workload, at /-/oauth/token of the api listener). Revoke one as account NAME/SUBJECT.',
  }),
  outbound: outbound.meta({
    text: 'The proxy through which identity providers, directories, workloads’ issuers and webhooks are reached. API servers, Redis and consoles never are.',
  }),
  admin: admin.meta({ text: 'Who may revoke.' }),
  sessions: sessions.meta({ text: 'How long users stay signed in, and how.' }),
  delegation: delegation.meta({ text: 'Delegated sessions: what users may give to scripts and AI agents, at most.' }),
  access: access.meta({ text: 'Access requests: groups for a while, with approval.' }),
  stepUp: stepUp.meta({
    text: "Requests for which a user's last sign-in at the provider must be recent (default: none); docs/step-up.md. Delegated sessions and workloads can never make them.",
  }),
  revocation: revocation.meta({ text: 'How a replica knows that its view is fresh.' }),
  audit: audit.meta({ text: 'The audit log.' }),
  limits: limits.meta({ text: 'Limits of requests, connections and sign-ins.' }),
  shutdown: shutdown.meta({ text: 'What happens after SIGTERM.' }),
  telemetry: telemetry.meta({ text: 'The log.' }),
  clockSkew,
  contact: contact.meta({ text: 'The contact that pages name when they reject a user.' }),
  installUrl,
});
