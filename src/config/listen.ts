/** The listeners (`listen`): the settings, and checks of several of them together. */
import * as z from 'zod';
import { defined } from '../core/defined.ts';
import { isMapping, valueAt, type ValidationErrors } from './document.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { address, type Address, cidr, httpsOrigin } from './values.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

function withTls({ address, certFile, keyFile }: { readonly address: Address } & Partial<TlsFiles>) {
  return {
    address,
    ...defined({ tls: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile } }),
  };
}

export const listen = section({
  api: section({
    address: address.default({ host: '0.0.0.0', port: 6443 }).meta({ text: 'Where kubectl connects; always TLS.' }),
    certFile: file().meta({
      text: 'The certificate for the api listener, with its chain, in PEM: for the host of `listen.api.publicUrl` and each cluster’s hosts.',
    }),
    keyFile: file('key').meta({ text: 'Its private key, in PEM. Both are read again when they change.' }),
    publicUrl: httpsOrigin.meta({ text: 'The api listener as clients reach it.' }),
    publicCaFile: file().exactOptional().meta({
      text: 'The CA certificates that a kubeconfig should trust; without it, the system’s CAs. Read at the start only: after a change restart the replicas.',
    }),
    proxyProtocol: z
      .enum(['off', 'required'], { error: 'off, or required (version 2, from listen.trustedProxies only)' })
      .default('off')
      .meta({
        text: 'required: behind a load balancer that passes TCP on and names the client by the PROXY protocol, version 2. Then every connection must come from one of trustedProxies below and begin with that header; all others are dropped.',
      }),
  }),
  web: section({
    address: address.default({ host: '0.0.0.0', port: 8443 }).meta({ text: 'Where browsers connect.' }),
    tls: z
      .literal('off', { error: 'off, where an ingress does TLS; else leave it out and set certFile and keyFile' })
      .exactOptional()
      .meta({ text: 'Behind an ingress that does TLS: `off`, in place of the two files.' }),
    certFile: file().exactOptional().meta({
      text: 'The certificate for the web listener, with its chain, in PEM: for the host of `publicUrl` and each console’s host. Needed unless `tls` is `off`.',
    }),
    keyFile: file('key')
      .exactOptional()
      .meta({ text: 'Its private key, in PEM. Both are read again when they change.' }),
  }).transform(withTls),
  ops: section({
    address: address
      .default({ host: '0.0.0.0', port: 9090 })
      .meta({ text: 'Where metrics and health are served, in plain http: keep it inside the cluster.' }),
  }).prefault({}),
  trustedProxies: list(cidr, 'CIDRs, such as 10.0.0.0/8').default([]).meta({
    text: 'Addresses of load balancers and ingresses that are trusted for the address of a client: at the api listener by the PROXY protocol, at the web listener, where `tls` is off, by `X-Forwarded-For`. Name no address that users connect from.',
  }),
});

/** @param parsed absent where the section has errors of its own */
export function checkListen(
  root: unknown,
  parsed: z.output<typeof listen> | undefined,
  errors: ValidationErrors,
): void {
  const web = valueAt(root, ['listen', 'web']);
  for (const name of isMapping(web) ? ['certFile', 'keyFile'] : []) {
    const file = valueAt(web, [name]);
    const tls = valueAt(web, ['tls']);
    const place = ['listen', 'web', name];
    if (tls === undefined && file === undefined) errors.add(place, 'the path of a file, or tls: off behind an ingress');
    if (tls === 'off' && file !== undefined) errors.add(place, 'nothing, because tls is off');
  }
  if (parsed === undefined) return;
  if (parsed.api.proxyProtocol === 'required' && parsed.trustedProxies.length === 0) {
    errors.add(
      ['listen', 'trustedProxies'],
      'the load balancers’ addresses, because listen.api.proxyProtocol is required',
    );
  }
  const places = (['api', 'web', 'ops'] as const).map((name) => ({ name, ...parsed[name].address }));
  for (const [index, place] of places.entries()) {
    const taken = places
      .slice(0, index)
      .find(({ host, port }) => port !== 0 && port === place.port && host === place.host);
    if (taken !== undefined)
      errors.add(['listen', place.name, 'address'], `an address other than that of listen.${taken.name}`);
  }
}
