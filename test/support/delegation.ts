/** Delegated sessions as a program makes them: over the api listener, with a key of their own. */
import { X509Certificate } from 'node:crypto';
import { certificateThumbprint } from '../../src/core/credential/thumbprint.ts';
import { newClientKey, OAuthClient, served, type Answer, type Endpoints } from './oauth-client.ts';

export const SELF = 'urn:portcullis:self';

export interface DelegatedItem {
  readonly id: string;
  readonly name: string;
  readonly parent: string;
  readonly expiresAt: string;
  readonly [more: string]: unknown;
}

/** A program with a key pair, which may be given a session. */
export interface Child {
  readonly client: OAuthClient;
  readonly thumbprint: string;
}

export interface DelegatedChild extends Child {
  readonly item: DelegatedItem;
  readonly refreshToken: string;
}

export async function newChild(endpoints: Endpoints): Promise<Child> {
  const key = await newClientKey();
  return {
    client: new OAuthClient(endpoints, key),
    thumbprint: certificateThumbprint(new X509Certificate(key.cert).raw),
  };
}

/** Returns an access token with which a client may make, list and end delegated sessions. */
export async function selfToken(client: OAuthClient, refreshToken: string): Promise<string> {
  const answer = await served(() => client.refresh(refreshToken, { resource: SELF }));
  if (answer.status !== 200) throw new Error(`no token came back: ${JSON.stringify(answer.body)}`);
  return String(answer.body['access_token']);
}

export const delegationsRequest = (
  client: OAuthClient,
  token: string,
  method: 'GET' | 'POST' | 'DELETE',
  { id, query = '', body }: { readonly id?: string; readonly query?: string; readonly body?: unknown } = {},
): Promise<Answer> =>
  client.send(method, `/-/delegations${id === undefined ? '' : `/${id}`}${query}`, {
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

/** What a program asks for, unless a test asks for something else. */
export const order = (thumbprint: string, changes: object = {}): object => ({
  name: 'claude',
  clusters: ['demo'],
  limits: [{ preset: 'read-only' }],
  seconds: 1800,
  thumbprint,
  ...changes,
});

/** Makes a delegated session; throws where it is refused. */
export async function delegate(
  parent: OAuthClient,
  refreshToken: string,
  changes: object = {},
): Promise<DelegatedChild> {
  const child = await newChild(parent.endpoints);
  const token = await selfToken(parent, refreshToken);
  const body = order(child.thumbprint, changes);
  const answer = await served(() => delegationsRequest(parent, token, 'POST', { body }));
  if (answer.status !== 201) throw new Error(`no session was made: ${JSON.stringify(answer.body)}`);
  return {
    ...child,
    item: answer.body['delegation'] as DelegatedItem,
    refreshToken: String(answer.body['refreshToken']),
  };
}
