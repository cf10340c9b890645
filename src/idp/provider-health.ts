/**
 * Probes an identity provider: its discovery document is read again, or GitHub is asked for a page that needs no
 * token.
 */
import { connectionError, noResponseWithin } from '../core/http/connection-error.ts';
import { proxyMessage } from '../core/http/proxy-error.ts';
import { VENDOR_HOSTS, type ProviderType } from '../core/identity/provider-types.ts';
import { timeoutSignal } from '../timing/timing.ts';
import { githubEndpoints } from './github/endpoints.ts';
import { createOutbound, guardMessage, reachOf, type Outbound, type Reach } from './outbound.ts';

const TIMEOUT_SECONDS = 3;
const WELL_KNOWN = '/.well-known/openid-configuration';

export interface ProviderProbeOptions extends Reach {
  readonly type: ProviderType;
  readonly issuer: string;
  /** GitHub's; absent: github.com. */
  readonly host?: string;
}

/**
 * Creates a probe.
 * @param limits only tests have others
 * @returns probes once: undefined where the response is as it should be, else the error as a message for an admin.
 *   Never rejects
 */
export function createProviderProbe(
  { type, issuer, host = VENDOR_HOSTS.github, ...options }: ProviderProbeOptions,
  { timeoutSeconds = TIMEOUT_SECONDS }: { readonly timeoutSeconds?: number } = {},
): () => Promise<string | undefined> {
  const origin = type === 'github' ? githubEndpoints(host).origin : new URL(issuer);
  // Neither document leads to another host, so none is allowed.
  const outbound = createOutbound({ issuer: origin, hosts: [], ...reachOf(options) });
  const probe = type === 'github' ? probeGithub : probeDiscovery;
  return async () => {
    const timeout = timeoutSignal(timeoutSeconds * 1000);
    try {
      return await probe(origin, outbound, timeout);
    } catch (error) {
      const proxy = proxyMessage(error);
      if (proxy !== undefined) return proxy;
      return timeout.aborted ? noResponseWithin(timeoutSeconds) : (guardMessage(error) ?? connectionError(error));
    }
  };
}

async function probeDiscovery(issuer: URL, outbound: Outbound, signal: AbortSignal): Promise<string | undefined> {
  // OpenID Connect Discovery 1.0 §4.1: a trailing slash is removed first.
  const url = `${issuer.href.replace(/\/$/, '')}${WELL_KNOWN}`;
  const response = await outbound(url, { method: 'GET', headers: { accept: 'application/json' }, signal });
  if (response.status !== 200) return `It answered ${response.status} when asked for its discovery document.`;
  const issuerNamed = issuerIn(await response.text());
  if (issuerNamed === undefined) return 'It returned no valid discovery document.';
  // §4.3: both are the same, or it is another issuer's document.
  if (URL.parse(issuerNamed)?.href !== issuer.href)
    return 'Its discovery document names another issuer. Check providers[].issuer.';
  return undefined;
}

/** Not its API: that limits requests without a token by the hour and address, and would reject frequent probes. */
async function probeGithub(origin: URL, outbound: Outbound, signal: AbortSignal): Promise<string | undefined> {
  const { status } = await outbound(`${origin.origin}/robots.txt`, { method: 'GET', headers: {}, signal });
  return status >= 500 ? `It answered ${status}.` : undefined;
}

function issuerIn(document: string): string | undefined {
  try {
    const issuerNamed: unknown = JSON.parse(document);
    if (typeof issuerNamed !== 'object' || issuerNamed === null || !('issuer' in issuerNamed)) return undefined;
    return typeof issuerNamed.issuer === 'string' ? issuerNamed.issuer : undefined;
  } catch {
    return undefined;
  }
}
