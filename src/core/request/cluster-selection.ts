/**
 * Chooses the cluster of a request (docs/architecture.md#invariant-2): by host name, else by the prefix
 * `/clusters/NAME/`.
 *
 * An attacker sends a request that one part of Portcullis takes for cluster A and another for cluster B. So it is
 * chosen here only, and the token's audience is checked against it.
 */
import { byHeaders } from '../http/by-headers.ts';
import { no, ok, type Result } from '../result.ts';

export interface ClusterDirectory {
  readonly byHost: ReadonlyMap<string, string>;
  readonly names: ReadonlySet<string>;
}

/** @param clusters names and hosts as the configuration has them: lower case, without port */
export function clusterDirectory(
  clusters: readonly { readonly name: string; readonly hosts: readonly string[] }[],
): ClusterDirectory {
  return {
    byHost: new Map(clusters.flatMap(({ name, hosts }) => hosts.map((host) => [host, name] as const))),
    names: new Set(clusters.map(({ name }) => name)),
  };
}

export interface ClusterSelectionInput {
  /** Every `Host` value of the request, and HTTP/2's `:authority`. */
  readonly hosts: readonly string[];
  /** SNI of the connection (RFC 6066 §3). */
  readonly serverName?: string | undefined;
  /** Request target as received. */
  readonly target: string;
}

export type ClusterRejection =
  | 'host_conflict' // two hosts that differ: RFC 9112 §3.2, RFC 9113 §8.3.1
  | 'host_invalid'
  | 'cluster_unknown';

export interface SelectedCluster {
  readonly cluster: string;
  /** The request target for the cluster, without the prefix if that chose it. */
  readonly target: string;
  /** The removed prefix of the client's target, such as `/clusters/prod`; empty if the host chose the cluster. */
  readonly prefix: string;
}

/** Chooses the cluster; a prefix counts only if neither Host nor SNI names one. */
export function selectCluster(
  directory: ClusterDirectory,
  input: ClusterSelectionInput,
): Result<SelectedCluster, ClusterRejection> {
  const host = hostOf(input.hosts);
  if (!host.ok) return host;
  const named = nameByHost(directory, host.value, input.serverName);
  if (named !== undefined) return ok({ cluster: named, target: input.target, prefix: '' });
  return byPrefix(directory, input.target);
}

function soleHost(hosts: readonly string[]): Result<string | undefined, ClusterRejection> {
  const [raw, ...others] = hosts.map((host) => host.toLowerCase());
  if (raw === undefined) return ok(undefined);
  if (others.some((other) => other !== raw)) return no('host_conflict');
  const host = normaliseHost(raw);
  return host === undefined ? no('host_invalid') : ok(host);
}

const hostOf = byHeaders(soleHost);

function nameByHost(
  directory: ClusterDirectory,
  host: string | undefined,
  serverName: string | undefined,
): string | undefined {
  if (host !== undefined && !isAddress(host)) return directory.byHost.get(host);
  const byAddress = host === undefined ? undefined : directory.byHost.get(host);
  if (byAddress !== undefined) return byAddress;
  const sni = serverName === undefined ? undefined : normaliseHost(serverName);
  return sni === undefined ? undefined : directory.byHost.get(sni);
}

function byPrefix(directory: ClusterDirectory, target: string): Result<SelectedCluster, ClusterRejection> {
  const match = /^\/clusters\/([a-z0-9-]+)(?=[/?]|$)/.exec(target);
  const cluster = match?.[1];
  if (match === null || cluster === undefined || !directory.names.has(cluster)) return no('cluster_unknown');
  const [prefix] = match;
  const rest = target.slice(prefix.length);
  return ok({ cluster, target: rest.startsWith('/') ? rest : `/${rest}`, prefix });
}

/**
 * Returns the host in lower case, without port and trailing dot; an IPv6 address keeps its brackets.
 * @returns undefined if it is no valid host
 */
export function normaliseHost(hostAndPort: string): string | undefined {
  const match = /^(?<host>\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?)(?::\d{1,5})?$/.exec(
    hostAndPort.toLowerCase(),
  );
  const host = match?.groups?.['host'];
  if (host === undefined || host.length > 254 || host.includes('..')) return undefined;
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

const isAddress = (host: string): boolean => host.startsWith('[') || /^\d+(?:\.\d+){3}$/.test(host);
