/** A user of two replicas that share a store: one session and one key, with a client for each. */
import type { RunningServer } from '../../src/server/serve.ts';
import { selfToken } from './delegation.ts';
import { newClientKey, OAuthClient, type SignedIn } from './oauth-client.ts';
import type { SsoStage } from './sso-stage.ts';

export interface TwoReplicaUser extends SignedIn {
  readonly client: OAuthClient;
  /** The same key at the second replica. */
  readonly elsewhere: OAuthClient;
  /** A token for the user's own sessions. */
  readonly self: string;
}

/** Signs in as the user whom the stage's provider knows now. @param clients gets both, to be closed by the test */
export async function signInAtTwoReplicas(
  { web, api, ca }: SsoStage,
  second: RunningServer,
  clients: OAuthClient[],
): Promise<TwoReplicaUser> {
  const key = await newClientKey();
  const client = new OAuthClient({ web, api, ca }, key);
  const elsewhere = new OAuthClient({ web, ca, api: `https://127.0.0.1:${second.ports.api}` }, key);
  clients.push(client, elsewhere);
  // The provider decides who it is: the name is that of the played browser alone.
  const signedIn = await client.signIn('root');
  return { ...signedIn, client, elsewhere, self: await selfToken(client, signedIn.refreshToken) };
}
