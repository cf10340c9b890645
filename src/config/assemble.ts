/** From parsed sections to the one frozen object that the modules get. */
import type {
  AuditSinkConfig,
  ClusterConfig,
  Config,
  ConsoleConfig,
  ProviderConfig,
  SentinelConfig,
  StoreConfig,
  TlsFiles,
  WorkloadRule,
} from './config.ts';
import { rejectedPathOf } from './audit.ts';
import { accessConfig } from './access.ts';
import { delegationConfig } from './delegation.ts';
import { clientMetadata, delegationClient } from './delegation-clients.ts';
import { defaultGroups, defaultLogout, defaultUsername, issuerOf, provesFreshness } from './provider-types.ts';
import type { Environment } from './environment.ts';
import { publicClient } from './public-clients.ts';
import { outboundProxies, type ProxyOf } from './outbound.ts';
import type { Parsed } from './sections.ts';

/** Makes a file's path absolute. */
type Locate = (file: string) => string;

/** What the parts of the configuration are completed by. */
interface Given {
  readonly locate: Locate;
  readonly proxyOf: ProxyOf;
}

/** @param env names a proxy where the sections name none */
export function assemble(sections: Parsed, locate: Locate, env: Environment): Config {
  const { listen, keys, store } = sections;
  const given: Given = { locate, proxyOf: outboundProxies(sections.outbound, env, locate) };
  const config: Config = {
    publicUrl: sections.publicUrl,
    listen: {
      api: {
        address: listen.api.address,
        certFile: locate(listen.api.certFile),
        keyFile: locate(listen.api.keyFile),
        publicUrl: listen.api.publicUrl,
        ...optionalFile('publicCaFile', listen.api.publicCaFile, locate),
        proxyProtocol: listen.api.proxyProtocol,
      },
      web: { address: listen.web.address, ...webTls(listen.web, locate) },
      ops: { address: listen.ops.address },
      trustedProxies: listen.trustedProxies,
    },
    store: storeConfig(store, locate),
    keys: {
      signingDir: locate(keys.signingDir),
      sealingDir: locate(keys.sealingDir),
      ...optionalFile('auditDir', keys.auditDir, locate),
    },
    providers: sections.providers.map((provider, index) => providerConfig(provider, `providers[${index}]`, given)),
    clusters: sections.clusters.map((cluster) => clusterConfig(cluster, listen.api.publicUrl, locate)),
    consoles: sections.consoles.map((console) => consoleConfig(console, locate)),
    workload: sections.workload.map((rule, index) => workloadRule(rule, `workload[${index}]`, given)),
    admin: sections.admin,
    sessions: {
      ...sections.sessions,
      publicClients: sections.sessions.publicClients.map(publicClient),
    },
    delegation: {
      ...delegationConfig(sections.delegation, sections.sessions),
      clients: sections.delegation.clients.map((client, index) =>
        delegationClient(client, `delegation.clients[${index}]`, given),
      ),
      clientMetadata: clientMetadata(sections.delegation.clientMetadata, given),
    },
    access: accessConfig(sections.access, given),
    stepUp: sections.stepUp,
    revocation: sections.revocation,
    audit: {
      ...sections.audit,
      sinks: sections.audit.sinks.map((sink, index) => sinkConfig(sink, `audit.sinks[${index}]`, given)),
    },
    limits: sections.limits,
    shutdown: sections.shutdown,
    telemetry: sections.telemetry,
    clockSkew: sections.clockSkew,
    contact: sections.contact,
    ...(sections.installUrl === undefined ? {} : { installUrl: sections.installUrl }),
  };
  return deepFreeze(config);
}

/** Completes a provider. It has a prefix even where none was written; an empty one must be written out. */
function providerConfig(
  provider: Parsed['providers'][number],
  place: string,
  { locate, proxyOf }: Given,
): ProviderConfig {
  const { clientSecretFile, clientKeyFile, clientCertFile, caFile, serviceAccountFile, ...others } = provider;
  const { proxy, proxyCredentialsFile, ...more } = others;
  const { groups = defaultGroups(provider), ...rest } = more;
  const { clientAuth, scopes, uid, tenant, groupsAs, impersonatedAdmin, organizations, host, ...always } = rest;
  return {
    ...always,
    issuer: issuerOf(provider),
    username: provider.username ?? defaultUsername(provider.type),
    freshness: provesFreshness(provider.type) ? (provider.freshness ?? 'auto') : 'none',
    backchannelLogout: provider.backchannelLogout ?? defaultLogout(provider.type),
    usernamePrefix: provider.usernamePrefix ?? `${provider.name}:`,
    groupsPrefix: provider.groupsPrefix ?? `${provider.name}:`,
    ...(clientAuth === undefined ? {} : { clientAuth }),
    ...optionalFile('clientSecretFile', clientSecretFile, locate),
    ...optionalFile('clientKeyFile', clientKeyFile, locate),
    ...optionalFile('clientCertFile', clientCertFile, locate),
    ...optionalFile('caFile', caFile, locate),
    ...optionalFile('serviceAccountFile', serviceAccountFile, locate),
    ...proxyOf({ proxy, proxyCredentialsFile }, place),
    ...(scopes === undefined ? {} : { scopes }),
    ...(groups === undefined ? {} : { groups }),
    ...(uid === undefined ? {} : { uid }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(groupsAs === undefined ? {} : { groupsAs }),
    ...(impersonatedAdmin === undefined ? {} : { impersonatedAdmin }),
    ...(organizations === undefined ? {} : { organizations }),
    ...(host === undefined ? {} : { host }),
  };
}

function clusterConfig(cluster: Parsed['clusters'][number], apiPublicUrl: string, locate: Locate): ClusterConfig {
  const { caFile, tokenFile, publicUrl, ...rest } = cluster;
  return {
    ...rest,
    publicUrl: publicUrl ?? defaultPublicUrl(cluster, apiPublicUrl),
    tokenFile: locate(tokenFile),
    ...optionalFile('caFile', caFile, locate),
  };
}

function consoleConfig({ caFile, ...rest }: Parsed['consoles'][number], locate: Locate): ConsoleConfig {
  return { ...rest, ...optionalFile('caFile', caFile, locate) };
}

function workloadRule(rule: Parsed['workload'][number], place: string, { locate, proxyOf }: Given): WorkloadRule {
  const { caFile, groups, usernamePrefix, groupsPrefix, proxy, proxyCredentialsFile, ...rest } = rule;
  return {
    ...rest,
    usernamePrefix: usernamePrefix ?? `${rule.name}:`,
    groupsPrefix: groupsPrefix ?? `${rule.name}:`,
    ...optionalFile('caFile', caFile, locate),
    ...proxyOf({ proxy, proxyCredentialsFile }, place),
    ...(groups === undefined ? {} : { groups }),
  };
}

/** Returns the first host at the api listener's public port; a cluster without a host is selected by its prefix. */
function defaultPublicUrl(cluster: Parsed['clusters'][number], apiPublicUrl: string): string {
  const { port } = new URL(apiPublicUrl);
  const [host] = cluster.hosts;
  if (host === undefined) return `${apiPublicUrl}/clusters/${cluster.name}`;
  return `https://${host}${port === '' ? '' : `:${port}`}`;
}

function storeConfig({ redis }: Parsed['store'], locate: Locate): StoreConfig {
  if (redis === undefined) return { kind: 'memory' };
  return {
    kind: 'redis',
    url: redis.url,
    prefix: redis.prefix,
    nodes: redis.nodes,
    ...optionalFile('usernameFile', redis.usernameFile, locate),
    ...optionalFile('passwordFile', redis.passwordFile, locate),
    ...optionalFile('caFile', redis.caFile, locate),
    ...(redis.master === undefined ? {} : { sentinel: sentinelConfig(redis, redis.master, locate) }),
  };
}

const sentinelConfig = (
  redis: NonNullable<Parsed['store']['redis']>,
  master: string,
  locate: Locate,
): SentinelConfig => ({
  addresses: redis.sentinels,
  master,
  ...optionalFile('usernameFile', redis.sentinelUsernameFile, locate),
  ...optionalFile('passwordFile', redis.sentinelPasswordFile, locate),
});

function sinkConfig(
  sink: Parsed['audit']['sinks'][number],
  place: string,
  { locate, proxyOf }: Given,
): AuditSinkConfig {
  if (sink.type === 'stdout') return sink;
  if (sink.type === 'file') {
    const { path, rejectedPath = rejectedPathOf(path) } = sink;
    return { ...sink, path: locate(path), ...optionalFile('rejectedPath', rejectedPath, locate) };
  }
  const { caFile, certFile, keyFile, tokenFile, spoolDir, proxy, proxyCredentialsFile, ...rest } = sink;
  return {
    ...rest,
    ...optionalFile('caFile', caFile, locate),
    ...optionalFile('certFile', certFile, locate),
    ...optionalFile('keyFile', keyFile, locate),
    ...optionalFile('tokenFile', tokenFile, locate),
    ...optionalFile('spoolDir', spoolDir, locate),
    ...proxyOf({ proxy, proxyCredentialsFile }, place),
  };
}

function webTls(
  web: { readonly certFile?: string | undefined; readonly keyFile?: string | undefined },
  locate: Locate,
): { readonly tls?: TlsFiles } {
  if (web.certFile === undefined || web.keyFile === undefined) return {};
  return { tls: { certFile: locate(web.certFile), keyFile: locate(web.keyFile) } };
}

function optionalFile<K extends string>(
  key: K,
  file: string | undefined,
  locate: Locate,
): { readonly [P in K]?: string } {
  const located: { [P in K]?: string } = {};
  if (file !== undefined) located[key] = locate(file);
  return located;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
