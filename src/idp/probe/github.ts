/** Checks of GitHub before a user signs in: it has no discovery, and checks a callback address after the sign-in. */
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { AppError } from '../../core/errors.ts';
import { githubEndpoints } from '../github/endpoints.ts';
import { json } from '../github/tokens.ts';
import { createGithubProvider, type GithubProviderOptions } from '../github/github.ts';
import { createOutbound, reachOf } from '../outbound.ts';
import { inOneStep, limitedToStep } from '../step-limit.ts';
import type { RecordedResponse } from './listener.ts';
import type { Metadata } from './metadata.ts';
import { needed, optional, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

export async function probeGithub(options: GithubProviderOptions): Promise<readonly ProbeRow[]> {
  const [api, client] = await Promise.all([apiRow(options), clientRow(options)]);
  return [
    api,
    client,
    needed.unknown(
      'redirect URI',
      'GitHub looks at it after the sign-in',
      `Make sure that the app’s callback URL is ${options.redirectUri}.`,
    ),
    needed.unknown(
      'organizations',
      'what it shows of them takes the token of a member',
      'Have the app approved in each organization, then sign in.',
    ),
    optional.fails(
      'fresh sign-in',
      'GitHub proves none',
      'After a revocation lock the account to keep a user out. Its groups cannot be in admin.groups while admin.freshness is on.',
    ),
  ];
}

/**
 * Only this path does not count against the quota of an address without a token.
 * @see https://docs.github.com/en/rest/rate-limit/rate-limit
 */
async function apiRow({ host, ...options }: GithubProviderOptions): Promise<ProbeRow> {
  const { origin, api } = githubEndpoints(host);
  const hosts = [new URL(api).hostname];
  const outbound = limitedToStep(createOutbound({ issuer: origin, hosts, ...reachOf(options) }));
  const headers = { accept: 'application/vnd.github+json', 'user-agent': 'portcullis' };
  try {
    const { status } = await inOneStep(() => outbound(`${api}/rate_limit`, { method: 'GET', headers }));
    // An Enterprise Server responds with 401 or 404 here: it is there.
    return status < 500
      ? needed.works('API', `${api} answers`)
      : needed.fails('API', `${api} answered ${status}`, 'Ask again later.');
  } catch (error) {
    return needed.fails('API', connectionMessage(error), 'Check host, caFile and the network from here.');
  }
}

/**
 * Redeems an invented code, as a sign-in would. GitHub documents `bad_verification_code` for it, and
 * `incorrect_client_credentials` for a wrong client.
 * @see
 *   https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
 */
async function clientRow(options: GithubProviderOptions): Promise<ProbeRow> {
  const check = 'client authentication';
  const provider = createGithubProvider(options);
  const { challenge } = await provider.begin();
  const callback = new URL(options.redirectUri);
  const code = randomBytes(10).toString('hex');
  callback.search = new URLSearchParams({ code, state: challenge.state }).toString();
  const error: unknown = await provider.finish(callback, challenge).catch((error: unknown) => error);
  const reason = error instanceof AppError ? error.reason : '';
  switch (reason) {
    case 'provider_code_refused':
      return needed.works(check, 'by the client secret');
    case 'provider_client_refused':
      return needed.fails(
        check,
        'GitHub does not know the client by this secret',
        'Check clientId and clientSecretFile.',
      );
    case 'provider_unreachable':
      return needed.fails(check, connectionMessage(error), 'Check host, caFile and the network from here.');
    default:
      return needed.unknown(
        check,
        'GitHub’s answer says nothing of the client',
        'Check clientId and host, then sign in.',
      );
  }
}

const organization = z.object({ login: z.string() });
const membership = z.object({ organization });
const team = z.object({ slug: z.string(), organization });
const user = z.object({ id: z.number(), login: z.string() });

/**
 * Returns what GitHub's API said of a user, from the responses of a sign-in: the account, and the organisations and
 * teams of every page, before the configuration's choice among them.
 * @returns undefined where it said nothing
 */
export async function githubClaims(
  recorded: readonly RecordedResponse[],
  redacted: (text: string) => string,
): Promise<Metadata | undefined> {
  const read = async <T>(end: string, shape: z.ZodType<T>): Promise<readonly T[]> => {
    const pages = recorded.filter(
      ({ url, status }) => status === 200 && URL.parse(url)?.pathname.endsWith(end) === true,
    );
    const bodies = await Promise.all(pages.map(async ({ response }) => redacted(await response.clone().text())));
    return bodies.flatMap((text) => {
      const page = z.string().transform(json).pipe(shape).safeParse(text);
      return page.success ? [page.data] : [];
    });
  };
  const [account] = await read('/user', user);
  if (account === undefined) return undefined;
  const memberships = (await read('/user/memberships/orgs', z.array(membership))).flat();
  const teams = (await read('/user/teams', z.array(team))).flat();
  return {
    ...account,
    organizations: memberships.map((each) => each.organization.login),
    teams: teams.map((each) => `${each.organization.login}/${each.slug}`),
  };
}
