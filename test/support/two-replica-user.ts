/** A user of two replicas that share a store: one session and one key, with a client for each. */
import type { RunningServer } from '../../src/server/serve.ts';
import { selfToken } from './delegation.ts';
import { newClientKey, type OAuthClient, type SignedIn } from './oauth-client.ts';
import type { SsoStage } from './sso-stage.ts';

export interface TwoReplicaUser extends SignedIn {
  readonly client: OAuthClient;
  /** The same key at the second replica. */
  readonly elsewhere: OAuthClient;
  /** A token for the user's own sessions. */
  readonly self: string;
}

/** Signs in as the user whom the stage's provider knows now. */
export async function signInAtTwoReplicas(stage: SsoStage, second: RunningServer): Promise<TwoReplicaUser> {
  const key = await newClientKey();
  const client = await stage.connect({ key });
  // A host that names no cluster, so that the path does.
  const elsewhere = await stage.connect({ key, at: `https://127.0.0.1:${second.ports.api}` });
  // The provider decides who it is: the name is that of the played browser alone.
  const signedIn = await client.signIn('root');
  return { ...signedIn, client, elsewhere, self: await selfToken(client, signedIn.refreshToken) };
}
