/**
 * The outbound proxy: from `outbound`, the settings of one destination and the environment to the proxy of that
 * destination.
 */
import * as z from 'zod';
import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import { parseProxyUrl, proxyCredentials, proxyVariables } from '../core/http/proxy-url.ts';
import { items, textAt, valueAt, type Path, type ValidationErrors } from './document.ts';
import type { Environment } from './environment.ts';
import { file, proxySetting } from './values.ts';

/** What a destination that is reached through a proxy may have of its own. */
export const proxied = (text: string, credentialsText: string) => ({
  proxy: proxySetting.optional().meta({ text, default: 'that of `outbound`' }),
  proxyCredentialsFile: file.optional().meta({ text: credentialsText }),
});

export const outboundShape = {
  proxy: proxySetting.optional().meta({
    text: 'The proxy for all that have none of their own. `none`: `HTTPS_PROXY` is not used. [More](../outbound-proxy.md).',
    default: 'the address in the variable `HTTPS_PROXY` or `https_proxy`, where it is set',
  }),
  proxyCredentialsFile: file.optional().meta({
    text: '`NAME:PASSWORD` in one line, for the proxy of `outbound.proxy` or of `HTTPS_PROXY`. Only the Basic scheme is supported. Read again when it changes.',
  }),
  proxyCaFile: file.optional().meta({
    text: 'The CAs that verify proxies whose address is `https://…`, in PEM; without it the system’s CAs. Read again when it changes.',
    default: "the system's CAs",
  }),
  noProxy: z
    .array(
      z
        .string({ error: 'a host' })
        .regex(/^[^\s,]+$/, { error: 'a host, a domain such as .example.com, an address, a CIDR or "*"' }),
      { error: 'a list of hosts, domains, addresses and CIDRs' },
    )
    .optional()
    .meta({
      text: 'What is reached directly: names with all below them (`example.com`), only those below (`.example.com`), addresses, CIDRs, or `"*"`; a name or an address with an optional port.',
      default: 'the items of the variable `NO_PROXY` or `no_proxy`',
    }),
};

type Settings<T extends z.core.$ZodLooseShape> = z.output<z.ZodObject<T>>;

/** @param place the path of the destination, such as `providers[0]` */
export type ProxyOf = (own: Settings<ReturnType<typeof proxied>>, place: string) => { readonly proxy?: OutboundProxy };

/** @param locate makes a path absolute */
export function outboundProxies(
  outbound: Settings<typeof outboundShape>,
  env: Environment,
  locate: (file: string) => string,
): ProxyOf {
  const files = (credentialsFile: string | undefined): Pick<OutboundProxy, 'credentialsFile' | 'caFile'> => ({
    ...(credentialsFile === undefined ? {} : { credentialsFile: locate(credentialsFile) }),
    ...(outbound.proxyCaFile === undefined ? {} : { caFile: locate(outbound.proxyCaFile) }),
  });
  const variables = proxyVariables(env);
  const common = {
    noProxy: outbound.noProxy?.join(',') ?? variables.noProxy,
    ...files(outbound.proxyCredentialsFile),
  };
  const ofAll = (): OutboundProxy | undefined => {
    if (outbound.proxy === 'none') return undefined;
    if (outbound.proxy !== undefined) return { url: outbound.proxy, setting: 'outbound.proxy', ...common };
    const named = variables.httpsProxy === undefined ? undefined : parseProxyUrl(variables.httpsProxy);
    // `checkOutbound` has rejected an address that cannot be used.
    if (named?.ok !== true) return undefined;
    const credentials = proxyCredentials(named.value);
    const { protocol, host } = named.value;
    return {
      url: `${protocol}//${host}`,
      setting: 'HTTPS_PROXY',
      ...(credentials === undefined ? {} : { credentials: () => credentials }),
      ...common,
    };
  };
  const proxyOfAll = ofAll();
  return ({ proxy: own, proxyCredentialsFile }, place) => {
    if (own === 'none') return {};
    if (own === undefined) return proxyOfAll === undefined ? {} : { proxy: proxyOfAll };
    // Another proxy never gets the name and password of the first; and what names it means all hosts of the destination.
    return { proxy: { url: own, setting: `${place}.proxy`, noProxy: '', ...files(proxyCredentialsFile) } };
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
