/** The endpoints of GitHub: fixed by the configured host, never by a response. */

export interface GithubEndpoints {
  /** `https://` and the host: where browsers go. */
  readonly origin: URL;
  readonly authorize: string;
  readonly token: string;
  /** Without a trailing slash. */
  readonly api: string;
}

/**
 * @param host `github.com`, a tenant of Enterprise Cloud with data residency (`octo.ghe.com`), or an Enterprise Server, with a port if it has one
 * @see https://docs.github.com/en/enterprise-server@latest/rest/using-the-rest-api/getting-started-with-the-rest-api (`/api/v3`)
 * @see https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency (`api.SUBDOMAIN.ghe.com`)
 */
export function githubEndpoints(host: string): GithubEndpoints {
  const origin = new URL(`https://${host}`);
  const cloud = host === 'github.com' || host.endsWith('.ghe.com');
  return {
    origin,
    authorize: `${origin.origin}/login/oauth/authorize`,
    token: `${origin.origin}/login/oauth/access_token`,
    api: cloud ? `https://api.${host}` : `${origin.origin}/api/v3`,
  };
}
