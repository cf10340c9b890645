/** The interface to the sign-in pages: an authorization request waits here for its user. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors, type Provider } from 'oidc-provider';
import { AppError } from '../core/errors.ts';
import type { Store } from '../store/store.ts';
import { SCOPE, type Audiences } from './audiences.ts';
import type { Authorizations, PendingAuthorization } from '../contracts/authorization.ts';
import { deviceNameIn } from './device-name.ts';
import type { PublicClients } from './public-clients.ts';

export interface AuthorizationsDeps {
  readonly provider: Provider;
  readonly store: Store;
  readonly audiences: Audiences;
  readonly publicClients: PublicClients;
  readonly pinOrigin: (req: IncomingMessage) => void;
}

export function createAuthorizations({
  provider,
  store,
  audiences,
  publicClients,
  pinOrigin,
}: AuthorizationsDeps): Authorizations {
  const details = async (
    req: IncomingMessage,
    res: ServerResponse,
  ): Promise<Awaited<ReturnType<typeof provider.interactionDetails>>> => {
    pinOrigin(req);
    try {
      return await provider.interactionDetails(req, res);
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error;
      throw new AppError(
        'sign_in_expired',
        'This sign-in has expired or was started in another browser. Run your command again.',
        {
          reason: 'interaction_unknown',
          cause: error,
        },
      );
    }
  };
  return {
    async pending(req, res) {
      const { uid, params } = await details(req, res);
      const clientId = String(params['client_id']);
      const unregistered = publicClients.isUnregistered(clientId);
      // Its document was read when the request began. Here, perhaps at another replica, it would be read again for a name
      // that no page shows.
      const client = unregistered ? undefined : await provider.Client.find(clientId);
      const hint = params['provider'];
      // The library has turned `max_age=0` into the prompt by now, and considers the prompt answered when the
      // interaction ends with a sign-in.
      const prompts = typeof params['prompt'] === 'string' ? params['prompt'].split(' ') : [];
      return {
        uid,
        clientId,
        clientName: client?.clientName ?? clientId,
        ...(typeof hint === 'string' ? { providerHint: hint } : {}),
        ...(prompts.includes('login') ? { fresh: true } : {}),
        ...deviceNameIn(params),
        ...(unregistered ? { unregistered: unregisteredClient(clientId, params) } : {}),
      };
    },

    async grant(req, res, session) {
      const { params } = await details(req, res);
      const record = await store.sessions.read(session.id);
      if (record === undefined) {
        throw new AppError('sign_in_expired', 'This session was ended while you signed in. Run your command again.', {
          reason: 'session_unknown',
        });
      }
      const clientId = String(params['client_id']);
      const grant = new provider.Grant({ accountId: session.account, clientId });
      // One grant a sign-in, under the session's own id: ending the session ends every code and token that descends from it.
      grant.jti = session.id;
      const own = publicClients.audiencesOf(clientId);
      for (const audience of own ?? audiences.all) {
        if (audiences.allows(audience, record)) grant.addResourceScope(audience, SCOPE);
      }
      // A third-party client verifies an ID token before it uses the access token; the plugin has no use for one.
      if (own !== undefined) grant.addOIDCScope('openid');
      await grant.save();
      await provider.interactionFinished(
        req,
        res,
        { login: { accountId: session.account, remember: false }, consent: { grantId: session.id } },
        { mergeWithLastSubmission: false },
      );
    },

    async refuse(req, res, { error, description }) {
      await details(req, res);
      await provider.interactionFinished(
        req,
        res,
        { error, error_description: description },
        { mergeWithLastSubmission: false },
      );
    },
  };
}

/** What a user confirms: hosts that were checked, and never the name that the client gives itself. */
function unregisteredClient(
  clientId: string,
  { redirect_uri, resource }: Readonly<Record<string, unknown>>,
): NonNullable<PendingAuthorization['unregistered']> {
  const { hostname: redirectHost = '' } = URL.parse(String(redirect_uri)) ?? {};
  return { host: new URL(clientId).host, redirectHost, resource: [resource].flat().map(String).join(' ') };
}
