/** Descriptions of settings that the commented sample has once for two, or not at all. */
import { ACCESS_DEFAULTS, ACCESS_DESCRIPTIONS } from './access-descriptions.ts';
import { DELEGATION_CLIENT_DESCRIPTIONS } from './delegation-client-descriptions.ts';

/** The schema leaves these out, because they are filled in where they are used. */
export const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ['installUrl', 'both name `docs/install-cli.md`'],
  ['audit.sinks[].keep', '`10`'],
  ['audit.sinks[].rejectedPath', '`path` with `.rejected` behind it'],
  ['audit.sinks[].rejectedMaxMb', '`64`'],
  ['audit.sinks[].gzip', '`true`'],
  ['audit.sinks[].fsync', '`interval`'],
  ['audit.sinks[].spoolMaxMb', '`256`'],
  ['audit.sinks[].batchEvents', '`400`'],
  ['audit.sinks[].batchBytes', '`1MiB`'],
  ['audit.sinks[].batchWait', '`1s`'],
  ['audit.sinks[].timeout', '`10s`'],
  ['providers[].groupsAs', '`id`'],
  ['providers[].clientAuth', 'by the secret, as the provider takes it; without one as `none`'],
  ['providers[].host', '`github.com`'],
  ['providers[].issuer', 'by type'],
  ['providers[].proxy', 'that of `outbound`'],
  ['workload[].proxy', 'that of `outbound`'],
  ['audit.sinks[].proxy', 'that of `outbound`'],
  ['outbound.proxy', 'the address in the variable `HTTPS_PROXY` or `https_proxy`, where it is set'],
  ['outbound.noProxy', 'the items of the variable `NO_PROXY` or `no_proxy`'],
  ['delegation.groups', 'every user'],
  ['delegation.clusters', 'all clusters'],
  ['delegation.clients[].lifetime', '`15m`; `2m` where `binding` is `none`'],
  ['delegation.clients[].proxy', 'that of `outbound`'],
  ['delegation.clientMetadata.proxy', 'that of `outbound`'],
  ['delegation.clients[].sourceCidrs', 'from anywhere'],
  ...ACCESS_DEFAULTS,
  ['delegation.lifetime', '`8h`, or `sessions.absolute` where that is shorter'],
  ['providers[].scopes', 'by the provider’s discovery'],
  [
    'providers[].username',
    '`claims.email`; entra, okta and keycloak: `claims.preferred_username`; github: `claims.login`',
  ],
  ['providers[].groups', 'oidc: none; google: the Directory API’s, where it is set; others: `claims.groups`'],
  ['providers[].freshness', '`auto`; google and github: `none`'],
  ['providers[].backchannelLogout', '`session`; google, entra and github: `off`'],
  [
    'clusters[].publicUrl',
    'the first host, at the port of `listen.api.publicUrl`; without a host, the prefix `/clusters/NAME` there',
  ],
]);

/** At the start of a section, where the sample has none. */
export const SECTION_DESCRIPTIONS: ReadonlyMap<string, string> = new Map([
  ['listen', 'Three listeners.'],
  ['sessions', 'How long users stay signed in, and how.'],
  ['revocation', 'How a replica knows that its view is fresh.'],
  ['audit', 'The audit log.'],
  ['limits', 'Limits of requests, connections and sign-ins.'],
  ['shutdown', 'What happens after SIGTERM.'],
  ['telemetry', 'The log.'],
  ['admin', 'Who may revoke.'],
  ['access', 'Access requests: groups for a while, with approval.'],
  ['delegation', 'Delegated sessions: what users may give to scripts and AI agents, at most.'],
  [
    'outbound',
    'The proxy through which identity providers, directories, workloads’ issuers and webhooks are reached. API servers, Redis and consoles never are.',
  ],
]);

/** In place of the sample’s own descriptions. */
export const DESCRIPTIONS: ReadonlyMap<string, string> = new Map([
  ['listen.api.address', 'Where kubectl connects; always TLS.'],
  [
    'delegation.enabled',
    'Whether users can make delegated sessions. `false`: none is made any more, and those that there are can do nothing more. This and `groups`, `clusters`, `most` and the clients count for sessions that there are from the restart on; `lifetime` from their next token on.',
  ],
  [
    'listen.api.certFile',
    'The certificate for the api listener, with its chain, in PEM: for the host of `listen.api.publicUrl` and each cluster’s hosts.',
  ],
  ['listen.api.keyFile', 'Its private key, in PEM. Both are read again when they change.'],
  [
    'listen.api.publicCaFile',
    'The CA certificates that a kubeconfig should trust; without it, the system’s CAs. Read at the start only: after a change restart the replicas.',
  ],
  ['listen.api.publicUrl', 'The api listener as clients reach it.'],
  ['listen.web.address', 'Where browsers connect.'],
  ['listen.web.tls', 'Behind an ingress that does TLS: `off`, in place of the two files.'],
  [
    'listen.web.certFile',
    'The certificate for the web listener, with its chain, in PEM: for the host of `publicUrl` and each console’s host. Needed unless `tls` is `off`.',
  ],
  ['listen.web.keyFile', 'Its private key, in PEM. Both are read again when they change.'],
  ['listen.ops.address', 'Where metrics and health are served, in plain http: keep it inside the cluster.'],
  [
    'listen.trustedProxies',
    'Addresses of load balancers and ingresses that are trusted for the address of a client: at the api listener by the PROXY protocol, at the web listener, where `tls` is off, by `X-Forwarded-For`. Name no address that users connect from.',
  ],
  ['store.memory', 'Everything in the one process: for one replica, and forgotten at a restart. In place of `redis`.'],
  [
    'store.redis.url',
    '`rediss` is TLS. With Sentinel the host is not dialled: it is the name that the certificates of the nodes and of the Sentinels carry.',
  ],
  ['store.redis.sentinels', 'The Sentinels. With `master`, or neither.'],
  ['store.redis.master', 'The name under which the Sentinels know the master. With `sentinels`, or neither.'],
  [
    'store.redis.sentinelUsernameFile',
    'The Sentinels’ own user, where they have one: `usernameFile` is for the nodes alone.',
  ],
  ['store.redis.sentinelPasswordFile', 'The password of that user. Both are read again when they change.'],
  ['store.redis.usernameFile', 'The ACL user at the nodes.'],
  ['store.redis.passwordFile', 'Its password. Both are read again when they change, for the next connection.'],
  [
    'store.redis.caFile',
    'The CAs that verify the nodes and the Sentinels, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  ['store.redis.prefix', 'The prefix of each key in Redis, so that two installations can share one Redis.'],
  ['keys.signingDir', 'JWK files of the keys that sign tokens. Made by `portcullis keys generate`.'],
  ['keys.sealingDir', 'JWK files of the keys that seal values in Redis. Made by the same command.'],
  [
    'keys.auditDir',
    'JWK files of the keys that sign the audit log. Without it there is no proof that the audit log was not rewritten as a whole.',
  ],
  ['providers[].type', '[Providers](../providers) lists the scopes and the default username of each type.'],
  ['providers[].issuer', 'Needed, except that `google`, `entra` and `github` have their own.'],
  [
    'providers[].groupsAs',
    'Of type entra alone. `id`: object ids. `name`: display names, which anyone who may create groups can choose.',
  ],
  ['providers[].host', 'Of type github alone: an Enterprise server, or a tenant of ghe.com.'],
  ['providers[].clientId', 'The application’s client id at the provider.'],
  [
    'providers[].clientAuth',
    'How Portcullis authenticates at the provider. `basic` and `post`: by the secret, in the header or in the form. `private_key_jwt`: by an assertion that `clientKeyFile` signs. `tls_client_auth`: by a client certificate. `none`: a public client, with PKCE. No other method is tried than the one that is set. Without it the secret is sent in the header and, where the provider rejects that and lists `client_secret_post`, in the form. [More](../providers/oidc.md#how-the-provider-knows-portcullis).',
  ],
  [
    'providers[].clientKeyFile',
    'The private key for `private_key_jwt` (PEM or a JWK: EC on P-256, Ed25519, or RSA of 2048 bits or more) and `tls_client_auth` (PEM). Read again when it changes.',
  ],
  [
    'providers[].clientCertFile',
    'The client certificate for `tls_client_auth`, with its chain, in PEM. With `private_key_jwt` optional: the assertion then names it (`x5t#S256`), which Entra requires. Read again when it changes.',
  ],
  [
    'providers[].caFile',
    'The CAs that verify the provider, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  [
    'providers[].proxy',
    'The proxy of this provider alone, for all of its hosts: exceptions from the proxy do not count for it. `none`: the provider is reached directly.',
  ],
  [
    'providers[].proxyCredentialsFile',
    '`NAME:PASSWORD` for that proxy, which gets no others. Read again when it changes.',
  ],
  ['providers[].hosts', 'Hosts beside the issuer’s that its discovery document may name.'],
  [
    'providers[].scopes',
    'The scopes of the authorization request. Without it: `openid`, `profile`, `email`, and of `groups` and `offline_access` what the provider’s discovery lists. Without a refresh token, which `offline_access` asks for, no user can be re-checked and a session lasts an hour.',
  ],
  [
    'providers[].usernamePrefix',
    'The prefix of each username. Empty only where an empty text is set; then there is a warning.',
  ],
  [
    'providers[].groupsPrefix',
    'The prefix of each group. Empty only where an empty text is set; then there is a warning.',
  ],
  ['providers[].username', 'Over claims: the username without its prefix ([claims](../claims.md)).'],
  ['providers[].groups', 'Over claims: the groups without their prefix.'],
  ['providers[].uid', 'Over claims: the uid in the cluster.'],
  [
    'providers[].emailVerified',
    '`claim`: a name that is an e-mail address needs `email_verified: true`. `trusted`: the provider verifies each address but has no such claim.',
  ],
  [
    'providers[].freshness',
    'How the provider is asked to have a user authenticate again, which is checked by `auth_time` in the ID token. `auto`: with `prompt=login` and `max_age`, then `prompt=login` alone, then `max_age` alone. `login` and `max_age`: by that method only. `none`: it proves nothing, as types google and github. [More](../providers/oidc.md#how-a-fresh-sign-in-is-asked-for).',
  ],
  [
    'providers[].backchannelLogout',
    'What ends here when a user signs out at the provider, which posts its logout tokens to `/backchannel-logout/NAME`. `session`: what was opened in that session there. `account`: everything of the user.',
  ],
  ['providers[].rules', 'Over claims. Each must be true; the first that is not rejects the sign-in with its message.'],
  ['providers[].rules[].expression', 'Over `claims`; must yield `true`.'],
  ['providers[].rules[].message', 'The message on the page that rejects the sign-in.'],
  ['providers[].userRules', 'The same over the mapped user: `user.username`, `user.uid`, `user.groups`, `user.extra`.'],
  ['providers[].userRules[].expression', 'Over `user`; must yield `true`.'],
  ['providers[].userRules[].message', 'The message on the page that rejects the sign-in.'],
  [
    'clusters[].name',
    'Used in URLs, kubeconfigs, metrics and the audit log; never change it once users have signed in.',
  ],
  ['clusters[].publicUrl', 'The cluster as clients reach it.'],
  ['clusters[].server', 'The API server, as Portcullis reaches it.'],
  [
    'clusters[].caFile',
    'The CAs that verify the API server, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  ['clusters[].tokenFile', 'The token of the proxy’s service account there. Read again when it changes.'],
  ['clusters[].impersonate.groups', 'Groups that are passed on to the cluster: a list, or `"*"` for every group.'],
  ['consoles[].name', 'Used in the audit log.'],
  ['consoles[].server', 'The console itself, as Portcullis reaches it.'],
  [
    'consoles[].caFile',
    'The CAs that verify the console, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  ['workload[].issuer', 'The issuer of the tokens that are exchanged.'],
  [
    'workload[].caFile',
    'The CAs that verify the issuer, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  ['workload[].proxy', 'The proxy of this issuer alone, as `providers[].proxy`.'],
  ['workload[].proxyCredentialsFile', '`NAME:PASSWORD` for that proxy. Read again when it changes.'],
  ['workload[].hosts', 'Hosts beside the issuer’s that its discovery document may name.'],
  ['workload[].username', 'Over claims: the username without its prefix.'],
  ['workload[].groups', 'Over claims: the groups without their prefix.'],
  ['workload[].usernamePrefix', 'The prefix of each username.'],
  ['workload[].groupsPrefix', 'Stands before each group.'],
  ['workload[].clusters', 'The clusters that its tokens are valid for.'],
  [
    'workload[].role',
    'At the admin API: `drill` may start drills, `auditor` may read, `revoker` may revoke and lock. Each may do nothing else there.',
  ],
  [
    'outbound.proxy',
    'The proxy for all that have none of their own. `none`: `HTTPS_PROXY` is not used. [More](../outbound-proxy.md).',
  ],
  [
    'outbound.proxyCredentialsFile',
    '`NAME:PASSWORD` in one line, for the proxy of `outbound.proxy` or of `HTTPS_PROXY`. Only the Basic scheme is supported. Read again when it changes.',
  ],
  [
    'outbound.proxyCaFile',
    'The CAs that verify proxies whose address is `https://…`, in PEM; without it the system’s CAs. Read again when it changes.',
  ],
  [
    'outbound.noProxy',
    'What is reached directly: names with all below them (`example.com`), only those below (`.example.com`), addresses, CIDRs, or `"*"`; a name or an address with an optional port.',
  ],
  ['admin.groups', 'Groups, with their prefix, whose members are admins: they read and act.'],
  ['admin.auditors', 'Groups, with their prefix, whose members read.'],
  [
    'admin.freshness',
    'How long after authenticating at their provider admins may revoke, lock, unlock and drill; then they sign in again. Their provider has to say when that was, so groups of type `google` and `github` cannot be admins while it is on.',
  ],
  ['admin.dualControl', '`on`: revoking a provider or everything, and locking an admin, waits for a second admin.'],
  ['sessions.accessToken', 'How long an access token lives.'],
  ['sessions.idle', 'A session ends when no token was issued for it for this time.'],
  ['sessions.absolute', 'A session ends after this, whatever happens.'],
  [
    'sessions.recheck',
    'How often a user with an open stream, or who uses the pages or a console, is re-checked at their identity provider.',
  ],
  [
    'sessions.recheckGrace',
    'How long their streams and consoles go on while the provider cannot be reached; at least `recheck`.',
  ],
  [
    'sessions.deviceCode',
    'Signing in by a code, for machines without a browser. `sameNetwork`: the browser must come from the device’s own address, or its /24 or /56; only where the web listener sees the browsers’ own addresses.',
  ],
  [
    'sessions.binding',
    'Whether the plugin’s tokens are bound to its key. `off`: they are not, and refresh tokens rotate; only behind a load balancer that must end TLS. [Third-party clients](../third-party-clients.md) describes the risks.',
  ],
  ...ACCESS_DESCRIPTIONS,
  ...DELEGATION_CLIENT_DESCRIPTIONS,
  [
    'revocation.staleness',
    'How old the view of the revocation log may be before a replica rejects all requests. Replicas may differ in it while it is changed.',
  ],
  [
    'revocation.emptyStore',
    'What a replica that has just started does with an empty Redis. `init`: begins with an empty store; locks on accounts may have been lost with the data. `refuse`: serves nothing until an operator has checked it, and has started one replica with `init`.',
  ],
  ['audit.sinks', 'Where the audit log is written. [The audit log](../audit.md) has more.'],
  [
    'audit.sinks[].type',
    '`stdout`, `file` or `webhook`. The settings below are for `file` down to `rejectedMaxMb`, then for `webhook`.',
  ],
  ['audit.sinks[].path', 'The file that is written.'],
  [
    'audit.sinks[].maxSizeMb',
    'A new file begins at this size. Neither this nor `rotateEvery`: it is not rotated here (logrotate may do it).',
  ],
  ['audit.sinks[].rotateEvery', 'A new file begins at this age.'],
  [
    'audit.sinks[].keep',
    'How many old files are kept besides the one that is written, or for how long each is kept (`30d`), whatever their size. Older ones are removed.',
  ],
  [
    'audit.sinks[].rejectedPath',
    'The file for events of requests without a valid credential, in a chain of their own. [Requests without a good credential](../audit.md#requests-without-a-good-credential).',
  ],
  ['audit.sinks[].rejectedMaxMb', 'The size limit of that file with its old ones, in MiB.'],
  ['audit.sinks[].gzip', 'Whether old files are compressed.'],
  ['audit.sinks[].fsync', 'When the file is synced to the disk.'],
  [
    'audit.sinks[].url',
    'Gets an `EventList` of `audit.k8s.io/v1` by POST, as kube-apiserver sends it. Redirects are not followed.',
  ],
  [
    'audit.sinks[].caFile',
    'The CAs that verify the collector, in PEM. Read for each delivery, as are the three below.',
  ],
  ['audit.sinks[].certFile', 'A client certificate, in PEM; with `keyFile`.'],
  ['audit.sinks[].keyFile', 'Its private key, in PEM.'],
  ['audit.sinks[].tokenFile', 'A bearer token for the collector.'],
  ['audit.sinks[].proxy', 'The proxy of this webhook alone, as `providers[].proxy`.'],
  ['audit.sinks[].proxyCredentialsFile', '`NAME:PASSWORD` for that proxy. Read for each delivery.'],
  [
    'audit.sinks[].spoolDir',
    'Where events wait that could not be delivered, over a restart too: a folder that no other process uses. Without it they wait in memory only.',
  ],
  ['audit.sinks[].spoolMaxMb', 'How large that folder may become. When it is full, `audit.onFailure` decides.'],
  [
    'providers[].organizations',
    'Of type github alone, and required at github.com: whose members may sign in. `"*"` is any account.',
  ],
  [
    'providers[].serviceAccountFile',
    'Of type google alone: the key of a service account that may ask the Directory API for groups. With `impersonatedAdmin`, or neither; without them no user has groups.',
  ],
  [
    'providers[].impersonatedAdmin',
    'Of type google alone: the administrator in whose name it reads groups. With `serviceAccountFile`, or neither.',
  ],
  ['audit.sinks[].batchEvents', 'At most so many events in one POST.'],
  ['audit.sinks[].batchBytes', 'At most so many bytes in one POST.'],
  ['audit.sinks[].batchWait', 'How long an event may wait for others.'],
  ['audit.sinks[].timeout', 'How long the collector may take to respond.'],
  [
    'audit.policy',
    'Rules as in Kubernetes’ audit policy; the first that matches decides. Nothing but allowed reads of `/livez`, `/readyz`, `/version` and `/openapi` can be left out, and those are unless a rule of level `Metadata` matches them.',
  ],
  ['audit.policy[].level', '`None`: no event. `Metadata`: an event.'],
  ['audit.policy[].users', 'Usernames, with their prefix. Here and below: a rule without it matches all.'],
  ['audit.policy[].userGroups', 'Groups, with their prefix.'],
  ['audit.policy[].verbs', 'Verbs, such as `get`.'],
  ['audit.policy[].resources', 'Resources of API groups.'],
  ['audit.policy[].resources[].group', 'The API group; empty for the core group.'],
  ['audit.policy[].resources[].resources', 'Resources of the group, such as `pods` or `pods/log`.'],
  ['audit.policy[].resources[].resourceNames', 'Names of single objects.'],
  ['audit.policy[].namespaces', 'Namespaces; empty for what is in none.'],
  ['audit.policy[].nonResourceURLs', 'Paths, with `*` at their end for all below.'],
  [
    'audit.policy[].omitStages',
    'Accepted because most policies have it, but without effect: `audit.writeAhead` decides.',
  ],
  [
    'audit.onFailure',
    'What happens while the audit log cannot be written. `block`: nothing is served. `count`: events are dropped and counted.',
  ],
  [
    'audit.writeAhead',
    'What must be true before a request that may change something (or opens an exec, attach, port-forward or proxy) goes to the API server. `changes`: the kernel has a `RequestReceived` event of it. `sync`: the disk has it. `off`: nothing. [Before a change is made](../audit.md#before-a-change-is-made).',
  ],
  [
    'audit.rejectionsPerMinute',
    'How many requests without a valid credential have their own event: from one address; ten times as many from all addresses together. The rest is counted, in events too.',
  ],
  [
    'audit.execCommands',
    'Whether the audit log has the values of `command` (exec) and `cmd` (a kubelet’s own API). They sometimes contain passwords.',
  ],
  ['limits.headerBytes', 'How large the headers of a request may be.'],
  [
    'limits.connections',
    'Connections to the api listener at once, and as many to the web listener. Requests at one cluster may be four fifths of it, so that one that hangs leaves capacity for the others.',
  ],
  [
    'limits.inFlightPerPerson',
    'Requests and watches of one user at once, over all their sessions, and as many at the web consoles; beyond it 429.',
  ],
  [
    'limits.groups',
    'A user with more groups is rejected at sign-in. The groups that the provider sends count, before `groups` filters it and before any expression is evaluated.',
  ],
  [
    'limits.idle',
    'How long a connection to the api listener may stay without a request; a quiet watch or exec is none.',
  ],
  [
    'limits.signInsPerMinute',
    'Sign-ins that one address may start in a minute, at each replica: authorization requests (and as many that continue one), redirects to a provider and device codes, each by itself; beyond it 429. Behind an ingress that `listen.trustedProxies` does not name, the web listener counts none.',
  ],
  ['shutdown.delay', 'After SIGTERM: still accepting, no longer ready.'],
  ['shutdown.grace', 'After that: for what is in flight.'],
  ['telemetry.logLevel', 'The level of the log. The audit log is not part of it.'],
  [
    'clockSkew',
    'By how much the clocks of identity providers, and of workloads’ issuers, may differ from this server’s, in either direction. An ID token that is further in the future is rejected (`provider_clock_off`), and a logout token that is further off or older than five minutes beyond it. How fresh an admin’s proof is (`admin.freshness`) is checked with it too, and the first sign-in after a revocation: a user who authenticated within this time before it passes for one who has authenticated since.',
  ],
  ['contact', 'The contact that pages name when they reject a user.'],
  [
    'installUrl',
    'The page where users get the command line. `/me` links to it, and the kubeconfig that `/me` offers names it, so that kubectl prints it where the command is missing.',
  ],
]);
