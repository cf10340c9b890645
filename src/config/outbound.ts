/**
 * The outbound proxy: from `outbound`, the settings of one destination and the environment to the proxy of that
 * destination.
 */
import * as z from 'zod';
import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import { defined } from '../core/defined.ts';
import { parseProxyUrl, proxyCredentials, proxyVariables } from '../core/http/proxy-url.ts';
import { items, textAt, valueAt, type Path, type ValidationErrors } from './document.ts';
import type { Environment } from './environment.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { proxySetting } from './values.ts';

/** What a destination that is reached through a proxy may have of its own. */
export const proxied = (text: string, credentialsText: string) => ({
  proxy: proxySetting.exactOptional().meta({ text, default: 'that of `outbound`' }),
  proxyCredentialsFile: file('secret').exactOptional().meta({ text: credentialsText }),
});

export const outbound = section({
  proxy: proxySetting.exactOptional().meta({
    text: 'The proxy for all that have none of their own. `none`: `HTTPS_PROXY` is not used. [More](../outbound-proxy.md).',
    default: 'the address in the variable `HTTPS_PROXY` or `https_proxy`, where it is set',
  }),
  proxyCredentialsFile: file('secret').exactOptional().meta({
    text: '`NAME:PASSWORD` in one line, for the proxy of `outbound.proxy` or of `HTTPS_PROXY`. Only the Basic scheme is supported. Read again when it changes.',
  }),
  proxyCaFile: file().exactOptional().meta({
    text: 'The CAs that verify proxies whose address is `https://…`, in PEM; without it the system’s CAs. Read again when it changes.',
    default: "the system's CAs",
  }),
  noProxy: list(
    z
      .string({ error: 'a host' })
      .regex(/^[^\s,]+$/, { error: 'a host, a domain such as .example.com, an address, a CIDR or "*"' }),
    'hosts, domains, addresses and CIDRs',
  )
    .exactOptional()
    .meta({
      text: 'What is reached directly: names with all below them (`example.com`), only those below (`.example.com`), addresses, CIDRs, or `"*"`; a name or an address with an optional port.',
      default: 'the items of the variable `NO_PROXY` or `no_proxy`',
    }),
}).prefault({});

interface Own {
  readonly proxy?: string;
  readonly proxyCredentialsFile?: string;
}

/** A destination with the proxy by which it is reached, in place of its own settings about that. */
type Proxied<T extends Own> = Omit<T, keyof Own> & { readonly proxy?: OutboundProxy };

/** @returns the destination at a path such as `providers[0]` with its proxy */
export function outboundProxies(
  common: z.output<typeof outbound>,
  env: Environment,
): <T extends Own>(destination: T, place: string) => Proxied<T> {
  const { noProxy, proxyCaFile: caFile, proxyCredentialsFile } = common;
  const variables = proxyVariables(env);
  const shared = {
    noProxy: noProxy?.join(',') ?? variables.noProxy,
    ...defined({ credentialsFile: proxyCredentialsFile, caFile }),
  };
  const ofAll = (): OutboundProxy | undefined => {
    if (common.proxy === 'none') return undefined;
    if (common.proxy !== undefined) return { url: common.proxy, setting: 'outbound.proxy', ...shared };
    const named = variables.httpsProxy === undefined ? undefined : parseProxyUrl(variables.httpsProxy);
    // `checkOutbound` has rejected an address that cannot be used.
    if (named?.ok !== true) return undefined;
    const credentials = proxyCredentials(named.value);
    const { protocol, host } = named.value;
    return {
      url: `${protocol}//${host}`,
      setting: 'HTTPS_PROXY',
      ...defined({ credentials: credentials === undefined ? undefined : () => credentials }),
      ...shared,
    };
  };
  const proxyOfAll = ofAll();
  const chosen = ({ proxy: url, proxyCredentialsFile: credentialsFile }: Own, place: string) => {
    if (url === undefined) return proxyOfAll;
    // Another proxy never gets the name and password of the first; and what names it means all hosts of the destination.
    return url === 'none'
      ? undefined
      : { url, setting: `${place}.proxy`, noProxy: '', ...defined({ credentialsFile, caFile }) };
  };
  return (destination, place) => {
    const { proxy: _own, proxyCredentialsFile: _file, ...rest } = destination;
    return { ...rest, ...defined({ proxy: chosen(destination, place) }) };
  };
}

/** The lists whose items may have a proxy of their own. */
const DESTINATIONS: readonly Path[] = [['providers'], ['workload'], ['audit', 'sinks'], ['access', 'notify']];

/** Reads the document itself, so that an error elsewhere hides none of these. */
export function checkOutbound(root: unknown, env: Environment, errors: ValidationErrors): void {
  const { httpsProxy } = proxyVariables(env);
  const named = httpsProxy === undefined ? undefined : parseProxyUrl(httpsProxy);
  // Not ignored: the network may forbid direct connections, and the error would look like one of each provider.
  if (named?.ok === false && valueAt(root, ['outbound', 'proxy']) === undefined) {
    const expected = `http://HOST:PORT or https://HOST:PORT, or outbound.proxy in the configuration: it ${named.reason}`;
    errors.add(['HTTPS_PROXY'], expected, { show: false });
  }
  const places = DESTINATIONS.flatMap((list): readonly Path[] =>
    items(valueAt(root, list.slice(0, -1)), String(list.at(-1))).map((_, index) => [...list, index]),
  );
  for (const place of places) {
    const proxy = textAt(root, ...place, 'proxy') ?? 'none';
    if (proxy === 'none' && valueAt(root, [...place, 'proxyCredentialsFile']) !== undefined) {
      errors.add([...place, 'proxyCredentialsFile'], 'nothing, or the proxy that it is for as well');
    }
  }
  if (textAt(root, 'outbound', 'proxy') === 'none' && valueAt(root, ['outbound', 'proxyCredentialsFile']) !== undefined)
    errors.add(['outbound', 'proxyCredentialsFile'], 'nothing, because outbound.proxy is none');
}
