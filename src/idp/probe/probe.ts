/**
 * Checks a live provider, before a user signs in.
 *
 * There is no second client here: the provider is the one that serves sign-ins (`createVendorProvider`), its
 * `begin`, `recheck` and `finish` are called, and their requests are recorded. So the probe sees what a sign-in
 * will see. No user is signed in, and nothing is kept.
 */
import type { ProviderConfig } from '../../config/config.ts';
import { createOutbound, reachOf, type OutboundOptions } from '../outbound.ts';
import { inOneStep, limitedToStep } from '../step-limit.ts';
import { createVendorProvider, providerHosts, type VendorProviderOptions } from '../vendors/vendors.ts';
import {
  backchannelLogoutRow,
  codeRow,
  endpointsRow,
  issRow,
  issuerRow,
  pkceRow,
  scopesRow,
  signOutRow,
  userInfoRow,
} from './advertised.ts';
import { authorizationRows } from './authorization.ts';
import { claimsRow, disabledUsersRow } from './claims.ts';
import { clientRows } from './client.ts';
import { webServerClockRows } from './clock.ts';
import { keysRow, signatureRow } from './keys.ts';
import { createListener, type Listener } from './listener.ts';
import { listIn, metadataOf, textIn, type Metadata } from './metadata.ts';
import { needed, short, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

export const WELL_KNOWN = '/.well-known/openid-configuration';

/**
 * @param options of the provider, as for a sign-in
 * @returns rows in the order of a sign-in. Never rejects for anything that the provider does
 */
export async function probeProvider(
  options: VendorProviderOptions,
  config: ProviderConfig,
): Promise<readonly ProbeRow[]> {
  const { clientSecret } = options;
  const listener = createListener(clientSecret === undefined ? [] : [clientSecret()]);
  const provider = createVendorProvider({ ...options, onResponse: listener.onResponse });
  const started = await provider.begin().catch((error: unknown) => error as Error);
  const metadata = metadataOf((await listener.last(WELL_KNOWN)?.response.clone().text()) ?? '', listener.redacted);
  const error = started instanceof Error ? started : undefined;
  if (metadata === undefined)
    return [unread(listener, error, options.issuer), ...webServerClockRows(listener, options.clockSkew)];

  const allowed = outboundOptionsOf(options, listener);
  const mutualTls = config.clientAuth === 'tls_client_auth';
  const hostsFixed = config.type === 'google' || config.type === 'entra';
  const first = [issuerRow(metadata, options.issuer), endpointsRow(metadata, allowed, { mutualTls, hostsFixed })];
  const explained = first.some(({ outcome }) => outcome === 'fails');
  const rows: ProbeRow[] = [
    error === undefined || explained ? needed.works('discovery', 'read') : unread(listener, error, options.issuer),
    ...first,
    signatureRow(metadata),
    codeRow(metadata),
    pkceRow(metadata),
  ];
  if (started instanceof Error) {
    rows.push(...NOT_ASKED.map((check) => needed.unknown(check, 'not checked: a sign-in ends at discovery')));
  } else {
    const outbound = limitedToStep(createOutbound(allowed));
    const { redacted } = listener;
    const { redirectUri } = options;
    const asked = started.url.searchParams;
    const advertised = listIn(metadata, 'claims_supported')?.includes('auth_time') === true;
    const tokenEndpoint = tokenEndpointOf(metadata, mutualTls);
    const method = config.clientAuth ?? (clientSecret === undefined ? 'none' : 'its secret');
    const client = {
      provider,
      challenge: started.challenge,
      metadata,
      listener,
      redirectUri,
      tokenEndpoint,
      method,
      asked,
    };
    const [keys, known, pages] = await Promise.all([
      inOneStep(() => keysRow(metadata, outbound, redacted)),
      clientRows(client),
      inOneStep(() => authorizationRows(provider, started.url, { outbound, redirectUri, redacted, advertised })),
    ]);
    rows.push(keys, ...pages, ...known, scopesRow(metadata, asked.get('scope')?.split(' ') ?? []));
  }
  rows.push(claimsRow(metadata, config));
  // Entra's is not used: its ID token has more.
  if (config.type !== 'entra') rows.push(userInfoRow(metadata));
  // The vendors of the other types are known to reject.
  if (config.type === 'oidc') rows.push(disabledUsersRow(config));
  rows.push(backchannelLogoutRow(metadata, config.backchannelLogout), signOutRow(metadata, allowed), issRow(metadata));
  return [...rows, ...webServerClockRows(listener, options.clockSkew)];
}

/** Where a probe of this provider may send requests: where a sign-in may. */
export const outboundOptionsOf = (options: VendorProviderOptions, { onResponse }: Listener): OutboundOptions => ({
  issuer: new URL(options.issuer),
  hosts: providerHosts(options),
  ...reachOf(options),
  onResponse,
});

const NOT_ASKED = ['keys', 'redirect URI', 'client authentication'];

/** RFC 8705 §5, as in `createClientAuthentication`. */
export function tokenEndpointOf(metadata: Metadata, mutualTls: boolean): string {
  const aliases = mutualTls ? metadata['mtls_endpoint_aliases'] : undefined;
  const alias = typeof aliases === 'object' && aliases !== null ? textIn({ ...aliases }, 'token_endpoint') : undefined;
  return URL.parse(alias ?? textIn(metadata, 'token_endpoint') ?? '')?.href ?? '';
}

/** The row where there is no usable discovery document. */
function unread(listener: Listener, error: Error | undefined, issuer: string): ProbeRow {
  const check = 'discovery';
  const last = listener.last(WELL_KNOWN);
  if (last === undefined) {
    return needed.fails(
      check,
      connectionMessage(error),
      'Check providers[].issuer, its caFile and the network from here.',
    );
  }
  const action = `Check providers[].issuer: discovery is at ${issuer.replace(/\/$/, '')}${WELL_KNOWN}.`;
  if (last.status === 200) return needed.fails(check, 'what it answered is no discovery document', action);
  const target = URL.parse(last.response.headers.get('location') ?? '', last.url);
  const leads = last.status < 400 && target !== null ? `, and leads to ${target.origin}${target.pathname}` : '';
  return needed.fails(check, short(listener.redacted(`it answered ${last.status}${leads}`), 300), action);
}
