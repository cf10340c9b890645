/** Whether an identity provider answers us: its discovery document is read again, or GitHub is asked for a page that needs no token. */
import { connectionFault, noAnswerWithin } from '../core/http/connection-error.ts';
import { timeoutSignal } from '../timing/timing.ts';
import { githubEndpoints } from './github/endpoints.ts';
import { createOutbound, guardWords, type Outbound } from './outbound.ts';

const TIMEOUT_SECONDS = 3;
const WELL_KNOWN = '/.well-known/openid-configuration';

export interface ProviderPlace {
  readonly type: 'oidc' | 'google' | 'entra' | 'okta' | 'keycloak' | 'github';
  readonly issuer: string;
  /** GitHub's; absent: github.com. */
  readonly host?: string;
  /** PEM; called at each look. The system's authorities when absent. */
  readonly ca?: () => string;
}

/**
 * @param limits only tests have others
 * @returns looks once: undefined where it answers as it should, else what is wrong, in words for an admin. Never rejects
 */
export function providerLook(
  { type, issuer, host = 'github.com', ca }: ProviderPlace,
  { timeoutSeconds = TIMEOUT_SECONDS }: { readonly timeoutSeconds?: number } = {},
): () => Promise<string | undefined> {
  const place = type === 'github' ? githubEndpoints(host).origin : new URL(issuer);
  // Neither document leads anywhere else, so no other host is allowed.
  const outbound = createOutbound({ issuer: place, hosts: [], ...(ca === undefined ? {} : { ca }) });
  const look = type === 'github' ? lookAtGithub : lookAtDiscovery;
  return async () => {
    const timeout = timeoutSignal(timeoutSeconds * 1000);
    try {
      return await look(place, outbound, timeout);
    } catch (error) {
      if (timeout.aborted) return noAnswerWithin(timeoutSeconds);
      return guardWords(error) ?? connectionFault(error);
    }
  };
}

async function lookAtDiscovery(issuer: URL, outbound: Outbound, signal: AbortSignal): Promise<string | undefined> {
  // OpenID Connect Discovery 1.0 §4.1: a trailing slash goes first.
  const url = `${issuer.href.replace(/\/$/, '')}${WELL_KNOWN}`;
  const answer = await outbound(url, { method: 'GET', headers: { accept: 'application/json' }, signal });
  if (answer.status !== 200) return `It answered ${answer.status} when asked for its discovery document.`;
  const said = issuerIn(await answer.text());
  if (said === undefined) return 'Its discovery document is none.';
  // §4.3: the same, or it is somebody else's.
  if (URL.parse(said)?.href !== issuer.href)
    return 'Its discovery document names another issuer. Check providers[].issuer.';
  return undefined;
}

/** Not its API: that counts questions without a token by the hour and address, and would say no to who asks often. */
async function lookAtGithub(origin: URL, outbound: Outbound, signal: AbortSignal): Promise<string | undefined> {
  const { status } = await outbound(`${origin.origin}/robots.txt`, { method: 'GET', headers: {}, signal });
  return status >= 500 ? `It answered ${status}.` : undefined;
}

function issuerIn(document: string): string | undefined {
  try {
    const said: unknown = JSON.parse(document);
    if (typeof said !== 'object' || said === null || !('issuer' in said)) return undefined;
    return typeof said.issuer === 'string' ? said.issuer : undefined;
  } catch {
    return undefined;
  }
}
