/** From the configuration to the real things that rooms are given: the store, the providers, the clusters, the consoles. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Config, ProviderConfig, StoreConfig } from '../config/config.ts';
import { readSecretFile } from '../config/files.ts';
import { assertTlsPair, certifiedSigningKey, clientSigningKey } from '../config/client-key.ts';
import { loadAuditKeys, type AuditKeys, type SealingKeys } from '../config/keys.ts';
import { compileAllow, compileMapping, mayUse } from '../core/identity/claims.ts';
import type { Identity } from '../core/identity/identity.ts';
import type { ChosenMethod } from '../idp/client-authentication.ts';
import { createGithubProvider, type GithubProviderOptions } from '../idp/github/github.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import { createIssuerKeys } from '../idp/issuer-keys.ts';
import { readsGroups } from '../idp/vendors/groups.ts';
import { createVendorProvider, type VendorProviderOptions } from '../idp/vendors/vendors.ts';
import { compileRules, type CompiledRule } from '../oauth/workload/rules.ts';
import type { UpstreamCluster } from '../proxy/proxy.ts';
import type { CertificatePair, Reloading } from './reload.ts';
import { createMemoryStore } from '../store/memory/memory.ts';
import type { Displaced } from '../store/pending.ts';
import { createRedisStore, type EpochEvent, type RedisSettings } from '../store/redis/redis.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../telemetry/telemetry.ts';
import type { Console } from '../web/consoles/dependencies.ts';

type Following = Pick<Reloading, 'authorities' | 'secret'>;
type ProvidersFollowing = Pick<Reloading, 'authorities' | 'certificate' | 'secret'>;

/** For a command that is over before anybody replaces a file. */
const ONCE: ProvidersFollowing = {
  secret: (file) => {
    const secret = readSecretFile(file);
    return () => secret;
  },
  authorities: (caFile) => {
    const pem = readFileSync(caFile, 'utf8');
    return () => pem;
  },
  certificate: ({ certFile, keyFile }) => {
    const pair = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    return { current: () => pair, onChange: () => undefined };
  },
};

export interface LastingStore {
  /** Follows the authorities of Redis, and its password. */
  readonly reloading: Following;
  /** Puts it on the record that this replica began a new epoch, so that everybody signs in again. */
  readonly onEpoch: (event: EpochEvent) => void;
  /** Sign-ins under way had to make room for others. */
  readonly onDisplaced: (displaced: Displaced) => void;
}

/** @param lasting of a server; without it authorities are read once */
export function openStore(config: Config, sealing: SealingKeys, logger: Logger, lasting?: LastingStore): Store {
  const clock = { now: Date.now };
  const onDisplaced = (displaced: Displaced): void => lasting?.onDisplaced(displaced);
  if (config.store.kind === 'memory')
    return createMemoryStore({ clock, onDisplaced, providerClockSkew: config.clockSkew });
  return createRedisStore({
    config: redisSettings(config.store, lasting?.reloading ?? ONCE),
    sealingKeys: sealing,
    clock,
    providerClockSkew: config.clockSkew,
    // test seam: STORE_OPTIONS
    emptyStore: config.revocation.emptyStore,
    onError: (error) => logger.warn({ err: error }, 'store'),
    onEpoch: (event) => {
      logger.warn(event, 'the store began a new epoch: everybody signs in again');
      lasting?.onEpoch(event);
    },
    onDisplaced,
  });
}

function redisSettings(store: Extract<StoreConfig, { readonly kind: 'redis' }>, following: Following): RedisSettings {
  const { url, prefix, nodes, caFile, sentinel } = store;
  return withCredentials(following, store, {
    url,
    prefix,
    nodes,
    ...(caFile === undefined ? {} : { ca: following.authorities(caFile) }),
    ...(sentinel === undefined
      ? {}
      : { sentinel: withCredentials(following, sentinel, { addresses: sentinel.addresses, master: sentinel.master }) }),
  });
}

/**
 * With names and passwords as they stand at each look: the files are followed.
 * @throws where one of them cannot be read now
 */
function withCredentials<T extends object>(
  { secret }: Following,
  { usernameFile, passwordFile }: { readonly usernameFile?: string; readonly passwordFile?: string },
  settings: T,
): T & { readonly username: string | undefined; readonly password: string | undefined } {
  const username = usernameFile === undefined ? undefined : secret(usernameFile);
  const password = passwordFile === undefined ? undefined : secret(passwordFile);
  return {
    ...settings,
    get username() {
      return username?.();
    },
    get password() {
      return password?.();
    },
  };
}

/** What the record is signed by. Without it lines are chained, and who may write to the files can write them all anew. */
export async function auditKeysOf({ keys }: Config, logger: Logger): Promise<AuditKeys | undefined> {
  if (keys.auditDir !== undefined) return loadAuditKeys(keys.auditDir);
  logger.warn('keys.auditDir is not set: the record is not signed. Make a key by: portcullis keys rotate');
  return undefined;
}

/** `clusters[].allow` by cluster name; `tooCostly` is told of one that says no because it would take too many steps. The configuration has compiled each before, so a fault here is a fault of ours. */
export function allowed(
  config: Config,
  tooCostly: (cluster: string) => void = () => {},
): (cluster: string, identity: Identity) => boolean {
  const rules = new Map(
    config.clusters.map(({ name, allow }) => {
      const rule = compileAllow(allow);
      if (!rule.ok) throw new Error(`clusters ${name}: ${rule.reason}`);
      return [name, rule.value];
    }),
  );
  return (cluster, identity) => {
    const rule = rules.get(cluster);
    return rule !== undefined && mayUse(rule, identity, () => tooCostly(cluster));
  };
}

/** What a provider is made of, before it is made. */
export type ProviderParts =
  | { readonly kind: 'github'; readonly options: GithubProviderOptions }
  | { readonly kind: 'oidc'; readonly options: VendorProviderOptions };

export function identityProviders(config: Config, following: ProvidersFollowing, logger: Logger): IdentityProviders {
  return new Map(
    config.providers.map((provider) => {
      const { kind, options } = providerParts(config, provider, { following, logger });
      return [provider.name, kind === 'github' ? createGithubProvider(options) : createVendorProvider(options)];
    }),
  );
}

/**
 * @param using.following absent: of a command that is over before anybody replaces a file
 * @throws Error where a key or a certificate cannot be used now
 */
export function providerParts(
  config: Config,
  provider: ProviderConfig,
  { following = ONCE, logger }: { readonly following?: ProvidersFollowing; readonly logger: Logger },
): ProviderParts {
  const { authorities, secret } = following;
  const mapping = compileMapping({ ...provider, maxGroups: config.limits.groups });
  if (!mapping.ok) throw new Error(`providers ${provider.name}: ${JSON.stringify(mapping.reason)}`);
  const { clientSecretFile } = provider;
  const clientSecret = clientSecretFile === undefined ? undefined : secret(clientSecretFile);
  const { caFile } = provider;
  const common = {
    name: provider.name,
    issuer: provider.issuer,
    clientId: provider.clientId,
    ...(clientSecret === undefined ? {} : { clientSecret: () => clientSecret() }),
    ...(caFile === undefined ? {} : { ca: authorities(caFile) }),
    hosts: provider.hosts,
    ...(provider.scopes === undefined ? {} : { scopes: provider.scopes }),
    redirectUri: `${config.publicUrl}/callback/${provider.name}`,
    mapping: mapping.value,
    clock: { now: Date.now },
    clockSkew: config.clockSkew,
  };
  const { type } = provider;
  if (type === 'github') return { kind: 'github', options: githubOptions(provider, common, logger) };
  const more = vendorOptions({ ...provider, type }, config.limits.groups, following);
  const { backchannelLogout, freshness } = provider;
  const proof = { ...chosenMethod(provider, following), log: logger };
  return { kind: 'oidc', options: { ...common, ...proof, freshness, backchannelLogout, ...more } };
}

/** How the provider knows that it is us, where the configuration says so. @throws Error where a key cannot be used now */
function chosenMethod(
  { name, clientAuth: method, clientKeyFile: keyFile, clientCertFile: certFile }: ProviderConfig,
  following: ProvidersFollowing,
): { readonly clientAuth?: ChosenMethod } {
  if (method === undefined) return {};
  if (method !== 'private_key_jwt' && method !== 'tls_client_auth') return { clientAuth: { method } };
  // The configuration has seen to it.
  if (keyFile === undefined) throw new Error(`providers ${name}: ${method} needs a key`);
  if (certFile === undefined) {
    if (method === 'tls_client_auth') throw new Error(`providers ${name}: ${method} needs a certificate`);
    // Judged before it is taken into use, so that a key that is half written signs nobody out.
    const text = following.secret(keyFile, clientSigningKey);
    return { clientAuth: { method, key: readAnew(text, clientSigningKey) } };
  }
  const pair = following.certificate({ certFile, keyFile });
  const current = (): CertificatePair => pair.current();
  const judge = method === 'tls_client_auth' ? assertTlsPair : certifiedSigningKey;
  judge(current());
  // A new pair is taken into use only where both belong together: they are never replaced at one moment.
  pair.onChange(judge);
  return method === 'tls_client_auth'
    ? { clientAuth: { method, certificate: current } }
    : { clientAuth: { method, key: readAnew(current, certifiedSigningKey) } };
}

/** What is read from a source that changes now and then, read again only when it has changed. */
function readAnew<S, T>(source: () => S, read: (from: S) => T): () => T {
  let held: { readonly from: S; readonly value: T } | undefined;
  return () => {
    const from = source();
    if (held === undefined || held.from !== from) held = { from, value: read(from) };
    return held.value;
  };
}

/** What only some types of provider have. */
function vendorOptions(
  provider: ProviderConfig & { readonly type: VendorProviderOptions['type'] },
  maxGroups: number,
  { secret }: Following,
) {
  const { type, tenant = '', groupsAs = 'id', serviceAccountFile, impersonatedAdmin: admin } = provider;
  const shared = { wantsGroups: readsGroups(provider), maxGroups };
  if (type === 'entra') return { ...shared, type, tenant, groupsAs };
  if (type !== 'google') return { ...shared, type };
  if (serviceAccountFile === undefined || admin === undefined) return { ...shared, type };
  return { ...shared, type, directory: { serviceAccount: secret(serviceAccountFile), admin } };
}

function githubOptions(
  { name, host = 'github.com', organizations = '*' }: ProviderConfig,
  common: Omit<GithubProviderOptions, 'host' | 'clientSecret'> & Partial<Pick<GithubProviderOptions, 'clientSecret'>>,
  log: Logger,
): GithubProviderOptions {
  const { clientSecret } = common;
  // The configuration has seen to it.
  if (clientSecret === undefined) throw new Error(`providers ${name}: GitHub needs a client secret`);
  const members = organizations === '*' ? {} : { organizations };
  return { ...common, ...members, host, clientSecret, log };
}

/** Each workload rule with the keys of its issuer. */
export function workloadRules(config: Config, { authorities }: Following): readonly CompiledRule[] {
  return compileRules(config.workload, config.limits.groups, ({ issuer, hosts, caFile }) =>
    createIssuerKeys({
      issuer,
      hosts,
      ...(caFile === undefined ? {} : { ca: authorities(caFile) }),
      clock: { now: Date.now },
    }),
  );
}

export function upstreamClusters(config: Config, reloading: Following): readonly UpstreamCluster[] {
  return config.clusters.map(({ caFile, tokenFile, name, hosts, impersonate, server, serviceAccountPassthrough }) => {
    const rest = { name, hosts, impersonate, server, serviceAccountPassthrough, token: reloading.secret(tokenFile) };
    if (caFile === undefined) return rest;
    const authorities = reloading.authorities(caFile);
    return {
      ...rest,
      get ca() {
        return authorities();
      },
    };
  });
}

export function consolesOf(config: Config, { authorities }: Following): readonly Console[] {
  return config.consoles.map(({ caFile, ...console }) => ({
    ...console,
    ...(caFile === undefined ? {} : { ca: authorities(caFile) }),
  }));
}

/** A PEM file that need not be configured. */
export const optional = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : readFile(path, 'utf8');
