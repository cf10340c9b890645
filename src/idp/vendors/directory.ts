/**
 * Google's Directory API, the only one that knows groups: read by a service account in the name of an
 * administrator.
 *
 * @see https://developers.google.com/identity/protocols/oauth2/service-account
 * @see https://developers.google.com/workspace/admin/directory/reference/rest/v1/groups/list
 */
import { importPKCS8, SignJWT } from 'jose';
import * as z from 'zod';
import type { Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import { isRecent } from '../../core/time.ts';
import { createOutbound, reachOf, type Outbound, type Reach } from '../outbound.ts';
import { allPages, type Page } from './api.ts';
import { defined } from '../../core/defined.ts';

export interface DirectoryOptions extends Reach {
  readonly name: string;
  /** The key's JSON as Google issues it; called at each use, so that a new key needs no restart. */
  readonly serviceAccount: () => string;
  /** E-mail address of the administrator in whose name the API is used. */
  readonly admin: string;
  readonly maxGroups: number;
  /** Origin of the API, and where assertions are redeemed (RFC 7523). */
  readonly api: string;
  readonly tokenEndpoint: string;
  readonly clock: Clock;
}

const SCOPE = 'https://www.googleapis.com/auth/admin.directory.group.readonly';
const ASSERTION_SECONDS = 300;
const PAGE_SIZE = 200;

/** `token_uri` is in the file too, and is not followed: the host is fixed. */
const keyFile = z.object({
  type: z.literal('service_account'),
  client_email: z.string().min(1),
  private_key: z.string().min(1),
  private_key_id: z.string().optional(),
});
const tokenResponse = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });
const groupsResponse = z.object({
  groups: z.array(z.object({ email: z.string().min(1) })).optional(),
  nextPageToken: z.string().optional(),
});

/**
 * @returns a function from a user's `sub` to the addresses of the groups that they are a direct member of
 * @throws Error immediately where the key is invalid, so that it is found at the start
 */
export function createDirectory(options: DirectoryOptions): (subject: string) => Promise<readonly string[]> {
  const { name, api, maxGroups } = options;
  readKey(options.serviceAccount());
  const reach = reachOf(options);
  const outbound = createOutbound({ issuer: new URL(api), hosts: [], ...reach });
  const accessToken = cachedToken(
    options,
    createOutbound({ issuer: new URL(options.tokenEndpoint), hosts: [], ...reach }),
  );
  return async (subject) => {
    const first = new URL('/admin/directory/v1/groups', api);
    first.search = new URLSearchParams({ userKey: subject, maxResults: String(PAGE_SIZE) }).toString();
    return allPages({
      provider: name,
      outbound,
      first: first.href,
      accessToken: await accessToken(),
      read: groupsPage,
      maxGroups,
      reason: 'groups_unresolved',
      rejection: `Google’s directory does not say which groups you are in, so yours are unknown. Sign in with an account of your company, or ask your platform team to check what the service account of ${name} may read.`,
    });
  };
}

function groupsPage(body: unknown, url: URL): Page<string> {
  const { groups = [], nextPageToken } = groupsResponse.parse(body);
  const next = new URL(url);
  if (nextPageToken !== undefined) next.searchParams.set('pageToken', nextPageToken);
  return { items: groups.map(({ email }) => email), next: nextPageToken === undefined ? undefined : next.href };
}

function readKey(text: string): z.output<typeof keyFile> {
  try {
    return keyFile.parse(JSON.parse(text));
  } catch {
    // Without a cause: the parser's message may contain a part of the key.
    throw new Error('serviceAccountFile does not hold the JSON key of a service account');
  }
}

interface ServiceToken {
  readonly text: string;
  /** Epoch milliseconds. */
  readonly since: number;
  readonly ttlMs: number;
}

/** Caches one token for all users, renewed a minute before its expiry, and again after another key or a failure. */
function cachedToken(options: DirectoryOptions, outbound: Outbound): () => Promise<string> {
  let held: { readonly key: string; readonly token: Promise<ServiceToken> } | undefined;
  return async () => {
    const key = options.serviceAccount();
    if (held?.key === key) {
      const { text, since, ttlMs } = await held.token;
      if (isRecent(since, options.clock.nowMs(), ttlMs)) return text;
    }
    const token = redeem(options, outbound, key);
    const entry = { key, token };
    held = entry;
    token.catch(() => {
      if (held === entry) held = undefined;
    });
    return (await token).text;
  };
}

async function redeem(options: DirectoryOptions, outbound: Outbound, key: string): Promise<ServiceToken> {
  const { admin, tokenEndpoint, name } = options;
  try {
    const { client_email, private_key, private_key_id } = readKey(key);
    const issuedAt = Math.floor(options.clock.nowMs() / 1000);
    const assertion = await new SignJWT({ scope: SCOPE })
      .setProtectedHeader({
        alg: 'RS256',
        typ: 'JWT',
        ...defined({ kid: private_key_id }),
      })
      .setIssuer(client_email)
      .setSubject(admin)
      .setAudience(tokenEndpoint)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + ASSERTION_SECONDS)
      .sign(await importPKCS8(private_key, 'RS256'));
    const response = await outbound(tokenEndpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }).toString(),
    });
    if (response.status !== 200) throw new Error(`the service account’s assertion was answered ${response.status}`);
    const { access_token, expires_in } = tokenResponse.parse(await response.json());
    return { text: access_token, since: options.clock.nowMs(), ttlMs: (expires_in - 60) * 1000 };
  } catch (error) {
    const message = `${name} could not return your groups. Try again in a minute. If that does not help, tell your platform team.`;
    throw new AppError('provider_unavailable', message, { reason: 'groups_unresolved', cause: error });
  }
}
