/** What a section of the file cannot say alone: defaults that come from other sections, and proxies. */
import type { Environment } from './environment.ts';
import { outboundProxies } from './outbound.ts';
import type { Parsed } from './parse.ts';

const DELEGATED_LIFETIME_SECONDS = 8 * 3600;

type DeepReadonly<T> = T extends (...given: never) => unknown ? T : { readonly [K in keyof T]: DeepReadonly<T[K]> };

/**
 * Returns the one frozen object that the modules get. Its type is that of the schema, so no setting is typed twice.
 * @param env names a proxy where the sections name none
 */
export function assemble({ outbound, ...sections }: Parsed, env: Environment) {
  const { listen, sessions, delegation, access, audit } = sections;
  const proxied = outboundProxies(outbound, env);
  const { clients, clientMetadata, lifetime = DELEGATED_LIFETIME_SECONDS } = delegation;
  return deepFreeze({
    ...sections,
    providers: sections.providers.map((provider, index) => proxied(provider, `providers[${index}]`)),
    clusters: sections.clusters.map(({ publicUrl, ...cluster }) => ({
      ...cluster,
      publicUrl: publicUrl ?? defaultPublicUrl(cluster, listen.api.publicUrl),
    })),
    workload: sections.workload.map((rule, index) => proxied(rule, `workload[${index}]`)),
    delegation: {
      ...delegation,
      lifetime: Math.min(lifetime, sessions.absolute),
      clients: clients.map((client, index) =>
        proxied(client.jwksUrl === undefined ? unreached(client) : client, `delegation.clients[${index}]`),
      ),
      clientMetadata: proxied(
        clientMetadata.hosts.length === 0 ? unreached(clientMetadata) : clientMetadata,
        'delegation.clientMetadata',
      ),
    },
    access: {
      ...access,
      notify: access.notify.map((receiver, index) => proxied(receiver, `access.notify[${index}]`)),
    },
    audit: {
      ...audit,
      sinks: audit.sinks.map((sink, index) =>
        sink.type === 'webhook' ? proxied(sink, `audit.sinks[${index}]`) : sink,
      ),
    },
  });
}

/** Nothing of it is fetched, so it has no proxy. */
const unreached = <T>(destination: T) => ({ ...destination, proxy: 'none' });

/** Returns the first host at the api listener's public port; a cluster without a host is selected by its prefix. */
function defaultPublicUrl(
  { name, hosts: [host] }: { readonly name: string; readonly hosts: readonly string[] },
  apiPublicUrl: string,
): string {
  const { port } = new URL(apiPublicUrl);
  if (host === undefined) return `${apiPublicUrl}/clusters/${name}`;
  return `https://${host}${port === '' ? '' : `:${port}`}`;
}

function deepFreeze<T>(value: T): DeepReadonly<T> {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value as DeepReadonly<T>;
}
