/** Builds the real dependencies from the configuration: the store, the providers, the clusters, the consoles. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Config, ProviderConfig, StoreConfig } from '../config/config.ts';
import { readSecretFile } from '../config/files.ts';
import { assertTlsPair, certifiedSigningKey, clientSigningKey } from '../config/client-key.ts';
import { loadAuditKeys, type AuditKeys, type SealingKeys } from '../config/keys.ts';
import { compileAllow, compileMapping, mayUse } from '../core/identity/claims.ts';
import { clientCertificatesIn, clientKeysInText, type ClientKeyJwk } from '../core/credential/client-keys.ts';
import type { Identity } from '../core/identity/identity.ts';
import { egressProxy } from '../egress/egress.ts';
import type { ChosenMethod } from '../idp/client-authentication.ts';
import { createGithubProvider, type GithubProviderOptions } from '../idp/github/github.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import { createClientKeys } from '../idp/client-keys.ts';
import { createIssuerKeys } from '../idp/issuer-keys.ts';
import { toleratingMalformedClaims } from '../idp/malformed-claims.ts';
import { createOutbound, type Outbound, type Reach } from '../idp/outbound.ts';
import { readsGroups } from '../idp/vendors/groups.ts';
import { createVendorProvider, type VendorProviderOptions } from '../idp/vendors/vendors.ts';
import type { DelegationClient } from '../oauth/delegation/clients.ts';
import { compileRules, type CompiledRule } from '../oauth/workload/rules.ts';
import type { StepUpSettings, UpstreamCluster } from '../proxy/proxy.ts';
import type { CertificatePair, Reloading } from './reload.ts';
import { createMemoryStore } from '../store/memory/memory.ts';
import type { Displaced } from '../store/pending.ts';
import { createRedisStore, type EpochEvent, type RedisSettings } from '../store/redis/redis.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../telemetry/telemetry.ts';
import type { Console } from '../web/consoles/dependencies.ts';
import { defined } from '../core/defined.ts';

type Following = Pick<Reloading, 'caBundle' | 'secret'>;
type ProvidersFollowing = Pick<Reloading, 'caBundle' | 'certificate' | 'secret'>;

/** For a command that ends before any file can be replaced. */
const ONCE: ProvidersFollowing = {
  secret: (file) => {
    const secret = readSecretFile(file);
    return () => secret;
  },
  caBundle: (caFile) => {
    const pem = readFileSync(caFile, 'utf8');
    return () => pem;
  },
  certificate: ({ certFile, keyFile }) => {
    const pair = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    return { current: () => pair, onChange: () => undefined };
  },
};

export interface StoreHooks {
  /** Watches the CA bundle of Redis, and its password. */
  readonly reloading: Following;
  /** Audits that this replica began a new epoch, so that all users sign in again. */
  readonly onEpoch: (event: EpochEvent) => void;
  /** Called when login transactions were displaced by others. */
  readonly onDisplaced: (displaced: Displaced) => void;
}

const FIRST_EPOCH =
  'the store was empty and began its first epoch; if it was in use before, its sessions and locks are lost';

/** @param hooks of a server; without them CA bundles are read once */
export function openStore(config: Config, sealing: SealingKeys, logger: Logger, hooks?: StoreHooks): Store {
  const clock = { nowMs: Date.now };
  const onDisplaced = (displaced: Displaced): void => hooks?.onDisplaced(displaced);
  if (config.store.kind === 'memory') return createMemoryStore({ clock, onDisplaced });
  return createRedisStore({
    config: redisSettings(config.store, hooks?.reloading ?? ONCE),
    sealingKeys: sealing,
    clock,
    // test seam: STORE_OPTIONS
    emptyStore: config.revocation.emptyStore,
    onError: (error) => logger.warn({ err: error }, 'the store reported an error'),
    onEpoch: (event) => {
      const { why, knowsLocks } = event;
      const facts = { why, survivor: knowsLocks };
      // The first start. A store that lost its data, and all replicas with it, looks the same.
      if (why === 'empty' && !knowsLocks) logger.info(facts, FIRST_EPOCH);
      else logger.warn(facts, 'the store began a new epoch; all users must sign in again');
      hooks?.onEpoch(event);
    },
    onDisplaced,
  });
}

/** Returns what is needed to connect to the configured Redis, with its files read once; undefined without one. */
export const storeSettings = ({ store }: Pick<Config, 'store'>): RedisSettings | undefined =>
  store.kind === 'redis' ? redisSettings(store, ONCE) : undefined;

function redisSettings(store: Extract<StoreConfig, { readonly kind: 'redis' }>, following: Following): RedisSettings {
  const { url, prefix, nodes, caFile, sentinel } = store;
  return withCredentials(following, store, {
    url,
    prefix,
    nodes,
    ...(caFile === undefined ? {} : { ca: following.caBundle(caFile) }),
    ...(sentinel === undefined
      ? {}
      : { sentinel: withCredentials(following, sentinel, { addresses: sentinel.addresses, master: sentinel.master }) }),
  });
}

/**
 * Adds names and passwords that are read at each use, because their files are watched.
 * @throws if one of them cannot be read now
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

/**
 * Returns the key that signs the audit log. Without it lines are chained, but an attacker who can write to the
 * files can write all of them again.
 */
export async function auditKeysOf({ keys }: Config, logger: Logger): Promise<AuditKeys | undefined> {
  if (keys.auditDir !== undefined) return loadAuditKeys(keys.auditDir);
  logger.warn(
    { setting: 'keys.auditDir' },
    'the audit log is not signed, because keys.auditDir is not set; create a key with: portcullis keys rotate',
  );
  return undefined;
}

/**
 * Returns `clusters[].allow` as a function of the cluster's name; `tooCostly` is called if a rule denies because
 * it would take too many steps. The configuration has compiled each rule before, so an error here is a bug.
 */
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

/** The options of a provider, before it is created. */
export type ProviderParts =
  | { readonly kind: 'github'; readonly options: GithubProviderOptions }
  | { readonly kind: 'oidc'; readonly options: VendorProviderOptions };

export function identityProviders(config: Config, following: ProvidersFollowing, logger: Logger): IdentityProviders {
  const longestMs = config.sessions.recheckGrace * 1000;
  return new Map(
    config.providers.map((provider) => {
      const { kind, options } = providerParts(config, provider, { following, logger });
      const created = kind === 'github' ? createGithubProvider(options) : createVendorProvider(options);
      return [provider.name, toleratingMalformedClaims(created, { clock: options.clock, longestMs })];
    }),
  );
}

/**
 * @param using.following absent: of a command that ends before any file can be replaced
 * @throws Error if a key or a certificate cannot be used now
 */
export function providerParts(
  config: Config,
  provider: ProviderConfig,
  { following = ONCE, logger }: { readonly following?: ProvidersFollowing; readonly logger: Logger },
): ProviderParts {
  const { secret } = following;
  const mapping = compileMapping({ ...provider, maxGroups: config.limits.groups });
  if (!mapping.ok) throw new Error(`providers ${provider.name}: ${JSON.stringify(mapping.reason)}`);
  const { clientSecretFile } = provider;
  const clientSecret = clientSecretFile === undefined ? undefined : secret(clientSecretFile);
  const common = {
    name: provider.name,
    issuer: provider.issuer,
    clientId: provider.clientId,
    ...(clientSecret === undefined ? {} : { clientSecret: () => clientSecret() }),
    ...reachBy(provider, following),
    hosts: provider.hosts,
    ...defined({ scopes: provider.scopes }),
    redirectUri: `${config.publicUrl}/callback/${provider.name}`,
    mapping: mapping.value,
    clock: { nowMs: Date.now },
    clockSkew: config.clockSkew,
  };
  const { type } = provider;
  if (type === 'github') return { kind: 'github', options: githubOptions(provider, common, logger) };
  const more = vendorOptions({ ...provider, type }, config.limits.groups, following);
  const { backchannelLogout, freshness } = provider;
  const proof = { ...chosenMethod(provider, following), log: logger };
  return { kind: 'oidc', options: { ...common, ...proof, freshness, backchannelLogout, ...more } };
}

/** Returns how a provider or an issuer is reached: by which proxy, and verified by which CAs. */
export const reachBy = ({ caFile, proxy }: Pick<ProviderConfig, 'caFile' | 'proxy'>, following: Following): Reach => ({
  ...(caFile === undefined ? {} : { ca: following.caBundle(caFile) }),
  ...(proxy === undefined ? {} : { proxy: egressProxy(proxy, following) }),
});

/**
 * Returns how we authenticate to the provider, if the configuration says so.
 * @throws Error if a key cannot be used now
 */
function chosenMethod(
  { name, clientAuth: method, clientKeyFile: keyFile, clientCertFile: certFile }: ProviderConfig,
  following: ProvidersFollowing,
): { readonly clientAuth?: ChosenMethod } {
  if (method === undefined) return {};
  if (method !== 'private_key_jwt' && method !== 'tls_client_auth') return { clientAuth: { method } };
  // The configuration has checked this.
  if (keyFile === undefined) throw new Error(`providers ${name}: ${method} needs a key`);
  if (certFile === undefined) {
    if (method === 'tls_client_auth') throw new Error(`providers ${name}: ${method} needs a certificate`);
    // Checked before it is taken into use, so that a half-written key does not break sign-in.
    const text = following.secret(keyFile, clientSigningKey);
    return { clientAuth: { method, key: cachedBySource(text, clientSigningKey) } };
  }
  const pair = following.certificate({ certFile, keyFile });
  const current = (): CertificatePair => pair.current();
  const check = method === 'tls_client_auth' ? assertTlsPair : certifiedSigningKey;
  check(current());
  // A new pair is taken into use only if both belong together: they are never replaced at the same moment.
  pair.onChange(check);
  return method === 'tls_client_auth'
    ? { clientAuth: { method, certificate: current } }
    : { clientAuth: { method, key: cachedBySource(current, certifiedSigningKey) } };
}

/** Returns a value derived from a source that changes rarely, derived again only when the source has changed. */
function cachedBySource<S, T>(source: () => S, read: (from: S) => T): () => T {
  let held: { readonly from: S; readonly value: T } | undefined;
  return () => {
    const from = source();
    if (held === undefined || held.from !== from) held = { from, value: read(from) };
    return held.value;
  };
}

/** Returns the options that only some types of providers have. */
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
  // The configuration has checked this.
  if (clientSecret === undefined) throw new Error(`providers ${name}: GitHub needs a client secret`);
  const members = organizations === '*' ? {} : { organizations };
  return { ...common, ...members, host, clientSecret, log };
}

/** Returns each workload rule with the keys of its issuer. */
export function workloadRules(config: Config, following: Following): readonly CompiledRule[] {
  return compileRules(config.workload, config.limits.groups, (rule) =>
    createIssuerKeys({
      issuer: rule.issuer,
      hosts: rule.hosts,
      ...reachBy(rule, following),
      clock: { nowMs: Date.now },
    }),
  );
}

/** Returns each client of `delegation.clients` with its keys, as they are now. */
export function registeredClients(config: Config, following: Following): readonly DelegationClient[] {
  return config.delegation.clients.map((client) => {
    const { jwksUrl, jwksFile, certFile } = client;
    if (jwksUrl !== undefined) {
      return {
        config: client,
        keys: createClientKeys({ url: jwksUrl, ...reachBy(client, following), clock: { nowMs: Date.now } }),
      };
    }
    const read = jwksFile === undefined ? clientCertificatesIn : clientKeysInText;
    const parsed = (text: string): readonly ClientKeyJwk[] => {
      const keys = read(text);
      if (!keys.ok) throw new Error(`delegation.clients ${client.id}: expected ${keys.reason}`);
      return keys.value;
    };
    // The configuration has checked that there is one of them.
    const text = following.secret(jwksFile ?? certFile ?? '', parsed);
    return { config: client, keys: () => parsed(text()) };
  });
}

/** Returns requests to one host of clients' metadata documents. */
export const metadataHosts =
  ({ delegation }: Config, following: Following): ((host: string) => Outbound) =>
  (host) =>
    createOutbound({ issuer: new URL(`https://${host}`), hosts: [], ...reachBy(delegation.clientMetadata, following) });

/** Returns each outbound proxy once, for the log: its host, and the setting or variable that names it. */
export function outboundProxiesOf({
  providers,
  workload,
  access,
  audit,
}: Config): readonly { readonly proxy: string; readonly setting: string }[] {
  const webhooks = audit.sinks.flatMap((sink) => (sink.type === 'webhook' ? [sink] : []));
  const named = [...providers, ...workload, ...webhooks, ...access.notify].flatMap(({ proxy }) =>
    proxy === undefined ? [] : [proxy],
  );
  const bySetting = new Map(named.map(({ setting, url }) => [setting, new URL(url).host]));
  return [...bySetting].map(([setting, proxy]) => ({ proxy, setting }));
}

/** Returns what step-up is judged by: the rules, and who says when their users authenticated. */
export function stepUpSettings({ stepUp, providers, clockSkew }: Config): StepUpSettings {
  const names = (proves: boolean) =>
    new Set(providers.filter(({ freshness }) => (freshness !== 'none') === proves).map(({ name }) => name));
  return { rules: stepUp, proving: names(true), silent: names(false), clockSkew };
}

export function upstreamClusters(config: Config, reloading: Following): readonly UpstreamCluster[] {
  return config.clusters.map(({ caFile, tokenFile, name, hosts, impersonate, server, serviceAccountPassthrough }) => {
    const rest = { name, hosts, impersonate, server, serviceAccountPassthrough, token: reloading.secret(tokenFile) };
    if (caFile === undefined) return rest;
    const caBundle = reloading.caBundle(caFile);
    return {
      ...rest,
      get ca() {
        return caBundle();
      },
    };
  });
}

export function consolesOf(config: Config, { caBundle }: Following): readonly Console[] {
  return config.consoles.map(({ caFile, ...console }) => ({
    ...console,
    ...(caFile === undefined ? {} : { ca: caBundle(caFile) }),
  }));
}

/** Reads a PEM file that need not be configured. */
export const optional = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : readFile(path, 'utf8');
