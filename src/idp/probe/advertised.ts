/**
 * Compares a provider's discovery document with what Portcullis needs of it. The document need not list everything
 * (OpenID Connect Discovery 1.0 §3), so what it does not list is unknown, unless a sign-in here ends at that.
 */
import { assertProviderUrl, type OutboundOptions } from '../outbound.ts';
import { flagIn, listIn, shown, textIn, type Metadata } from './metadata.ts';
import { needed, optional, short, type ProbeRow } from './row.ts';

type AllowedHosts = Pick<OutboundOptions, 'issuer' | 'hosts'>;

/**
 * Checks the issuer: it has to be the same, or the document is another provider's (OpenID Connect Discovery 1.0
 * §4.3).
 */
export function issuerRow(metadata: Metadata, configured: string): ProbeRow {
  const named = textIn(metadata, 'issuer') ?? '';
  if (URL.parse(named)?.href === new URL(configured).href) return needed.works('issuer', short(named));
  const seen = named === '' ? 'its discovery document names none' : `its discovery document names ${short(named)}`;
  return needed.fails(
    'issuer',
    `${seen}; providers[].issuer is ${configured}`,
    'Set providers[].issuer to the issuer that your provider names, if that is your provider: a slash at the end counts.',
  );
}

const ENDPOINTS = ['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint'];
/** A sign-in needs no UserInfo endpoint. */
const REQUIRED = ENDPOINTS.slice(0, 3);

/** @param hostsFixed the type has its own hosts, and `hosts` cannot be set */
export function endpointsRow(
  metadata: Metadata,
  allowed: AllowedHosts,
  { mutualTls, hostsFixed }: { readonly mutualTls: boolean; readonly hostsFixed: boolean },
): ProbeRow {
  const missing = REQUIRED.filter((key) => textIn(metadata, key) === undefined);
  if (missing.length > 0) {
    return needed.fails(
      'endpoints',
      `its discovery document has no ${missing.join(', ')}`,
      'Check that providers[].issuer is an OpenID Connect issuer, and not an OAuth server alone.',
    );
  }
  const found = ENDPOINTS.map((key) => textIn(metadata, key) ?? '');
  // RFC 8705 §5.
  const aliases = mutualTls ? metadata['mtls_endpoint_aliases'] : undefined;
  if (typeof aliases === 'object' && aliases !== null) found.push(textIn({ ...aliases }, 'token_endpoint') ?? '');
  const errors = found.flatMap((url) => (url === '' ? [] : hostErrors(url, allowed)));
  if (errors.length === 0) {
    const hosts = [...new Set(found.flatMap((url) => URL.parse(url)?.hostname ?? []))];
    return needed.works('endpoints', `on ${shown(hosts)}`);
  }
  const hosts = [...new Set(errors.flatMap(({ host }) => host ?? []))];
  return needed.fails(
    'endpoints',
    shown([...new Set(errors.map(({ message }) => message))]),
    hosts.length === 0 || hostsFixed
      ? 'Portcullis asks https addresses of this provider only. Check whose discovery document this is.'
      : `If these hosts are your provider’s, list them: hosts: [${shown(hosts)}].`,
  );
}

interface HostError {
  readonly message: string;
  /** Absent: another host name would not help. */
  readonly host?: string;
}

/** By the guard that a sign-in uses, so the text is the same. */
export function hostErrors(value: string, allowed: AllowedHosts): readonly HostError[] {
  try {
    assertProviderUrl(value, allowed);
    return [];
  } catch (error) {
    const host = URL.parse(value)?.hostname;
    const message = short(host === undefined || !(error instanceof Error) ? `${value} is no address` : error.message);
    return [host === undefined || allowed.hosts.includes(host) ? { message } : { message, host }];
  }
}

export function codeRow(metadata: Metadata): ProbeRow {
  const types = listIn(metadata, 'response_types_supported');
  if (types === undefined) return needed.unknown('code flow', 'it does not list response_types_supported');
  if (types.includes('code')) return needed.works('code flow', 'response_types_supported has code');
  return needed.unknown(
    'code flow',
    `response_types_supported is ${shown(types)}`,
    'See that the authorization code flow is switched on at the provider: there is no other here.',
  );
}

/**
 * RFC 7636. Some accept S256 and do not list it (Entra), and a provider that does not know PKCE ignores it (RFC
 * 6749 §3.1).
 */
export function pkceRow(metadata: Metadata): ProbeRow {
  const methods = listIn(metadata, 'code_challenge_methods_supported');
  if (methods === undefined) {
    return needed.unknown(
      'PKCE',
      'it does not list code_challenge_methods_supported',
      'S256 is always sent, and most that do not list it take it. Check the provider’s documentation, above all for a client without a secret.',
    );
  }
  if (methods.includes('S256')) return needed.works('PKCE', 'S256 is listed');
  return needed.unknown(
    'PKCE',
    `code_challenge_methods_supported is ${shown(methods)}`,
    'See that S256 is switched on at the provider: Portcullis uses no other method.',
  );
}

export function backchannelLogoutRow(metadata: Metadata, reach: 'session' | 'account' | 'off'): ProbeRow {
  const check = 'back-channel logout';
  if (reach === 'off') return optional.fails(check, 'it is off here: providers[].backchannelLogout');
  if (!flagIn(metadata, 'backchannel_logout_supported')) {
    return optional.unknown(
      check,
      'it does not list backchannel_logout_supported',
      'Register the address below, if the provider has a place for it. Without it a sign-out there ends nothing here until the next re-check is refused.',
    );
  }
  if (reach === 'session' && !flagIn(metadata, 'backchannel_logout_session_supported')) {
    return optional.unknown(
      check,
      'it is listed, but backchannel_logout_session_supported is not',
      'Register the address below. If its logout tokens name no session (sid), set backchannelLogout: account.',
    );
  }
  return optional.works(check, `it is listed; ends the ${reach}, once the address below is registered`);
}

export function signOutRow(metadata: Metadata, allowed: AllowedHosts): ProbeRow {
  const check = 'sign-out there';
  const endpoint = textIn(metadata, 'end_session_endpoint');
  if (endpoint === undefined) {
    return optional.unknown(
      check,
      'it lists no end_session_endpoint',
      'Only one that it lists is used: until then a user who signs out here stays signed in there.',
    );
  }
  const [error] = hostErrors(endpoint, allowed);
  if (error === undefined) return optional.works(check, 'end_session_endpoint is listed');
  return optional.fails(
    check,
    `end_session_endpoint is not used: ${error.message}`,
    'If that host is your provider’s, list it in hosts.',
  );
}

/** RFC 9207. */
export const issRow = (metadata: Metadata): ProbeRow =>
  flagIn(metadata, 'authorization_response_iss_parameter_supported')
    ? optional.works('iss at the callback', 'it is listed, and then checked (RFC 9207)')
    : optional.unknown(
        'iss at the callback',
        'it does not list it (RFC 9207); where it comes, it is checked',
        'Nothing to do: each provider has a callback address of its own.',
      );

export function userInfoRow(metadata: Metadata): ProbeRow {
  if (textIn(metadata, 'userinfo_endpoint') !== undefined) return optional.works('UserInfo', 'the endpoint is listed');
  return optional.unknown(
    'UserInfo',
    'it lists no userinfo_endpoint',
    'Have the ID token contain every claim that is read, at each refresh too: without both, no user can be re-checked.',
  );
}

/** @param asked the scopes of the authorization request, as a sign-in sends them */
export function scopesRow(metadata: Metadata, asked: readonly string[]): ProbeRow {
  const offered = listIn(metadata, 'scopes_supported');
  if (offered === undefined) {
    return optional.unknown('scopes', `asked for: ${shown(asked)}; it lists no scopes_supported`);
  }
  const unlisted = asked.filter((scope) => !offered.includes(scope));
  if (unlisted.length === 0) return optional.works('scopes', `asked for: ${shown(asked)}; all are listed`);
  return optional.unknown(
    'scopes',
    `asked for: ${shown(asked)}; scopes_supported lacks ${shown(unlisted)}`,
    'The list need not be complete. Where a sign-in ends with invalid_scope, set scopes without these.',
  );
}
