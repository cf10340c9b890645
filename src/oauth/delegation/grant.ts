/**
 * The token exchange of a client of `delegation.clients`: the form of its request and of its response. `exchange.ts`
 * decides; the access token goes through the same mint as every other, and there is no refresh token.
 */
import { errors, type KoaContextWithOIDC, type Provider, type ResourceServer } from 'oidc-provider';
import type { Clock } from '../../contracts/clock.ts';
import { describeLimits } from '../../core/delegation/describe.ts';
import { RETRY_SECONDS } from '../../core/serial-queue.ts';
import { SCOPE } from '../audiences.ts';
import { certificateOf, thumbprintOf } from '../client-certificate.ts';
import {
  callerOf,
  exchangeRejection,
  readExchange,
  respondTooMany,
  respondWithToken,
  type ExchangeHandler,
} from '../token-exchange.ts';
import type { TokenFacts } from '../token-facts.ts';
import { ACCESS_TOKEN_TYPE } from '../grant-type.ts';
import { RIGHTS_DETAIL } from './authorization-details.ts';
import type { DelegationClients } from './clients.ts';
import type { DelegationExchangeRejection, ExchangeForDelegation } from './exchange.ts';

export interface DelegationGrantDeps {
  readonly clients: Pick<DelegationClients, 'config'>;
  readonly exchange: ExchangeForDelegation;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  readonly resourceServer: (audience: string) => ResourceServer;
  /** `sessions.accessToken`. */
  readonly accessTokenSeconds: number;
  readonly clock: Clock;
}

/** @returns the handler of exchanges whose client is in `delegation.clients` */
export const delegationGrant =
  (provider: Provider, deps: DelegationGrantDeps): ExchangeHandler =>
  async (ctx) => {
    const facts = deps.factsOf(ctx);
    const client = deps.clients.config(ctx.oidc.client?.clientId);
    if (client === undefined) throw new errors.UnauthorizedClient('this client may not exchange tokens');
    const { subjectToken, requested } = readExchange(ctx, facts, [ACCESS_TOKEN_TYPE]);
    const { scope, authorization_details: details } = ctx.oidc.params;
    if (scope !== undefined && scope !== SCOPE) {
      facts.rejection = 'scope_unknown';
      facts.message = `scope must be ${SCOPE}, or left out: rights are asked for by authorization_details.`;
      throw new errors.InvalidScope(facts.message, scope);
    }
    const certificate = client.binding === 'certificate' ? certificateOf(ctx) : undefined;
    if (client.binding === 'certificate' && certificate === undefined) {
      const message = 'Connect with a client certificate: the token is bound to its key.';
      throw exchangeRejection(facts, 'certificate_missing', message);
    }
    const outcome = await deps.exchange({
      client,
      subjectToken,
      requested,
      details: typeof details === 'string' ? details : undefined,
      thumbprint: certificate === undefined ? undefined : thumbprintOf(ctx),
      ...callerOf(ctx),
    });
    if (!outcome.ok) {
      if (outcome.reason.error !== 'temporarily_unavailable') throw rejection(facts, outcome.reason);
      const { record, message } = outcome.reason;
      if (record !== undefined) facts.user = record;
      return respondTooMany(ctx, facts, { message, seconds: RETRY_SECONDS });
    }
    const { session, audience } = outcome.value;
    const left = session.expiresAt - Math.floor(deps.clock.nowMs() / 1000);
    const expiresIn = Math.max(1, Math.min(deps.accessTokenSeconds, left));
    const { clusters, limits } = session.delegation;
    await respondWithToken(provider, ctx, {
      session,
      audience,
      resourceServer: deps.resourceServer,
      certificate,
      expiresIn,
      members: {
        // RFC 9396 §7: what was granted. Each of `limits` must allow a request.
        authorization_details: [{ type: RIGHTS_DETAIL, clusters, limits, rights: describeLimits(limits) }],
      },
    });
  };

function rejection(facts: TokenFacts, { error, reason, message, record, audited }: DelegationExchangeRejection): Error {
  facts.rejection = reason;
  facts.message = message;
  if (record !== undefined) facts.user = record;
  if (audited === true) facts.audited = true;
  if (error === 'invalid_target') return new errors.InvalidTarget();
  if (error === 'invalid_authorization_details') return new errors.InvalidAuthorizationDetails(message);
  return new errors.InvalidRequest(message);
}
