/**
 * The outbound proxy: from `outbound`, the settings of one destination and the environment to the proxy of that
 * destination.
 */
import * as z from 'zod';
import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import { parseProxyUrl, proxyCredentials, proxyVariables } from '../core/http/proxy-url.ts';
import { items, textAt, valueAt, type Path, type ValidationErrors } from './document.ts';
import type { Environment } from './environment.ts';
import { proxySetting, text } from './values.ts';

const file = text('the path of a file').optional();

/** What a destination that is reached through a proxy may have of its own. */
export const proxiedShape = { proxy: proxySetting.optional(), proxyCredentialsFile: file };

export const outboundShape = {
  ...proxiedShape,
  proxyCaFile: file,
  noProxy: z
    .array(
      z
        .string({ error: 'a host' })
        .regex(/^[^\s,]+$/, { error: 'a host, a domain such as .example.com, an address, a CIDR or "*"' }),
      { error: 'a list of hosts, domains, addresses and CIDRs' },
    )
    .optional(),
};

type Settings<T extends z.core.$ZodLooseShape> = z.output<z.ZodObject<T>>;

/** @param place the path of the destination, such as `providers[0]` */
export type ProxyOf = (own: Settings<typeof proxiedShape>, place: string) => { readonly proxy?: OutboundProxy };

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
