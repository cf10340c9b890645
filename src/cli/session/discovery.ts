/**
 * Discovery (RFC 8414, RFC 8705 §5), restricted to two hosts: the web host that the user named, and the api host
 * that is pinned at the first sign-in.
 *
 * The response of the web host decides where the refresh token and the certificate are presented. An attacker who
 * controls it (a hijacked DNS name, a replaced ingress) could redirect them, so a document that points elsewhere is
 * rejected.
 */
import type { CacheEntry, Pins } from './cache.ts';
import { cliError } from '../errors.ts';
import { sendRequest } from '../http/http-client.ts';
import { recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import { isPlainPath, openableUrl } from '../http/server-url.ts';
import type { Endpoints } from './session.ts';
import { checkMinimumVersion } from '../http/version.ts';
import { defined } from '../../core/defined.ts';

export interface Discovery {
  readonly issuer: string;
  /** On the web host. */
  readonly authorizationEndpoint: string;
  /** On the api host. */
  readonly endpoints: Endpoints;
  /** On the api host; absent where sign-in by a code is off. */
  readonly deviceAuthorizationEndpoint?: string;
  readonly pins: Pins;
}

/**
 * Requests and checks the discovery document.
 * @param pinned the hosts of an earlier sign-in
 * @throws AppError `upstream_unavailable` when there is no response, `forbidden` when it names a host that it must
 *   not
 */
export async function discover(entry: CacheEntry, pinned: Pins | undefined): Promise<Discovery> {
  const server = entry.server.url;
  const url = `${server}/.well-known/openid-configuration`;
  const response = await sendRequest({ method: 'GET', url, ...defined({ ca: entry.ca }) });
  if (response.status !== 200) {
    throw cliError(
      'upstream_unavailable',
      `${server} responded with ${response.status} to the discovery request.`,
      'check that --server is the address of Portcullis, or try again',
      { reason: 'discovery_unavailable' },
    );
  }
  return checkDiscovery(response.body, server, pinned);
}

/** Applies the rules, without I/O. */
export function checkDiscovery(document: JsonRecord, server: string, pinned: Pins | undefined): Discovery {
  const extension = recordAt(document, 'portcullis') ?? {};
  checkMinimumVersion(stringAt(extension, 'minimumCli'));
  if (document['issuer'] !== server) throw hostile(server, 'it names another issuer');
  const authorization = openableUrl(document['authorization_endpoint']);
  const web = new URL(server).origin;
  if (authorization?.origin !== web) throw hostile(server, 'its sign-in page is on another host');
  // Users see and copy the address, and any program can be `$BROWSER`.
  if (!isPlainPath(authorization)) throw hostile(server, 'the address of its sign-in page has unexpected characters');
  const api = httpsUrl(extension['api']);
  if (api === undefined) throw hostile(server, 'it names no https address of the API');
  const pins = { web, api: api.origin };
  if (pinned !== undefined && (pinned.web !== pins.web || pinned.api !== pins.api)) {
    throw hostile(
      server,
      `its API host is ${api.host} now, and was ${new URL(pinned.api).host} when you signed in`,
      true,
    );
  }
  const aliases = recordAt(document, 'mtls_endpoint_aliases') ?? {};
  const apiCa = stringAt(extension, 'apiCa');
  const endpoints = {
    token: onApiHost(aliases['token_endpoint'], api, server),
    revocation: onApiHost(aliases['revocation_endpoint'], api, server),
    adminApi: onApiHost(extension['adminApi'], api, server),
    ...defined({ apiCa }),
  };
  const device = aliases['device_authorization_endpoint'];
  return {
    issuer: server,
    authorizationEndpoint: authorization.href,
    endpoints,
    ...(device === undefined ? {} : { deviceAuthorizationEndpoint: onApiHost(device, api, server) }),
    pins,
  };
}

/** Parses a URL of the api host. It always uses TLS, on loopback too: without TLS there is no client certificate. */
function httpsUrl(value: unknown): URL | undefined {
  const url = openableUrl(value);
  return url?.protocol === 'https:' ? url : undefined;
}

function onApiHost(value: unknown, api: URL, server: string): string {
  const url = httpsUrl(value);
  if (url?.origin !== api.origin) throw hostile(server, `one of its endpoints is not on its API host ${api.host}`);
  return url.href;
}

function hostile(server: string, why: string, moved = false): Error {
  const next = moved
    ? `ask your platform team whether the host has moved; if so: portcullis logout --server ${server}, then portcullis login --server ${server}`
    : 'check the address with your platform team before you sign in anywhere';
  return cliError('forbidden', `The discovery document of ${server} is rejected: ${why}.`, next, {
    reason: 'discovery_refused',
  });
}
