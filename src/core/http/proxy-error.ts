/** Why a proxy did not open a tunnel, for an operator, who would otherwise look for an error of the destination. */

type ProxyErrorCode = 'PROXY_AUTHENTICATION_REQUIRED' | 'PROXY_REFUSED' | 'PROXY_UNREACHABLE' | 'PROXY_TIMEOUT';

export interface ProxyErrorFacts {
  readonly code: ProxyErrorCode;
  /** Host and port, without name and password. */
  readonly proxy: string;
  /** Host and port of the destination. */
  readonly target: string;
  /** The proxy's status, or the code of the connection's error. */
  readonly detail: string;
  /** The setting or variable that names the proxy. */
  readonly setting: string;
}

const UNTRUSTED = /CERT|SIGNATURE|ISSUER/;

/** The message names the proxy, never its name and password. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  readonly detail: string;

  constructor(facts: ProxyErrorFacts, cause?: unknown) {
    super(messageOf(facts), { cause });
    this.code = facts.code;
    this.detail = facts.detail;
  }
}

function messageOf({ code, proxy, target, detail, setting }: ProxyErrorFacts): string {
  switch (code) {
    case 'PROXY_AUTHENTICATION_REQUIRED':
      return `The proxy ${proxy} did not accept the name and password, or there are none (${detail}). Check ${credentialsAt(setting)}.`;
    case 'PROXY_REFUSED':
      return `The proxy ${proxy} did not connect to ${target} (${detail}). Have its operator allow that, or ${exceptionAt(setting)}.`;
    case 'PROXY_TIMEOUT':
      return `The proxy ${proxy} did not connect to ${target} in time. Check the proxy, and that it reaches that host.`;
    case 'PROXY_UNREACHABLE':
      return UNTRUSTED.test(detail)
        ? `The certificate of the proxy ${proxy} is not trusted (${detail}). Check outbound.proxyCaFile.`
        : `The proxy ${proxy} cannot be reached (${detail}). Check ${setting}, and the network and its policies.`;
  }
}

const credentialsAt = (setting: string): string =>
  setting === 'HTTPS_PROXY'
    ? 'HTTPS_PROXY, or set outbound.proxyCredentialsFile'
    : setting.replace(/proxy$/, 'proxyCredentialsFile');

/** The exceptions of `outbound` do not count for a destination's own proxy. */
const exceptionAt = (setting: string): string =>
  setting.includes('[') ? `set ${setting} to none` : 'except the host: outbound.noProxy';

/** Returns the message of the proxy's error among the causes of `thrown`; undefined where it was no proxy. */
export function proxyMessage(thrown: unknown): string | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof ProxyError) return error.message;
  }
  return undefined;
}
