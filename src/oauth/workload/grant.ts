/**
 * A workload's token exchange: the form of a request and of its response. `exchange.ts` decides whose token it is and
 * whether it opens a session; the access token goes through the same mint as every other.
 */
import { errors, type KoaContextWithOIDC, type Provider, type ResourceServer } from 'oidc-provider';
import type { SessionRecord } from '../../store/store.ts';
import type { Audiences } from '../audiences.ts';
import { requestFacts } from '../audit-events.ts';
import { certificateOf } from '../client-certificate.ts';
import {
  callerOf,
  exchangeRejection,
  readExchange,
  respondWithToken,
  type ExchangeContext,
  type ExchangeHandler,
} from '../token-exchange.ts';
import type { TokenFacts } from '../token-facts.ts';
import type { ExchangeWorkloadToken } from './exchange.ts';

const SUBJECT_TOKEN_TYPES: readonly string[] = [
  'urn:ietf:params:oauth:token-type:jwt',
  'urn:ietf:params:oauth:token-type:id_token',
];

export interface WorkloadGrantDeps {
  readonly audiences: Audiences;
  readonly exchange: ExchangeWorkloadToken;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  readonly resourceServer: (audience: string) => ResourceServer;
  /** `rule` is a configured name, `unknown` where none was found. */
  readonly countExchange: (rule: string, outcome: 'ok' | 'refused' | 'unavailable') => void;
}

/** @returns the handler of exchanges whose client is `workload` */
export const workloadGrant =
  (provider: Provider, deps: WorkloadGrantDeps): ExchangeHandler =>
  async (ctx) => {
    const facts = deps.factsOf(ctx);
    try {
      await exchange(provider, deps, ctx);
      deps.countExchange(facts.rule ?? 'unknown', 'ok');
    } catch (error) {
      deps.countExchange(
        facts.rule ?? 'unknown',
        error instanceof errors.OIDCProviderError ? 'refused' : 'unavailable',
      );
      throw error;
    }
  };

async function exchange(provider: Provider, deps: WorkloadGrantDeps, ctx: ExchangeContext): Promise<void> {
  const facts = deps.factsOf(ctx);
  const { subjectToken, requested } = readExchange(ctx, facts, SUBJECT_TOKEN_TYPES);
  const certificate = certificateOf(ctx);
  if (certificate === undefined) {
    const message = 'Connect with a client certificate: the token is bound to its key.';
    throw exchangeRejection(facts, 'certificate_missing', message);
  }
  const outcome = await deps.exchange({ subjectToken, ...callerOf(ctx), facts: requestFacts(ctx) });
  if (!outcome.ok) {
    const { reason, message, rule, owner } = outcome.reason;
    if (rule !== undefined) facts.rule = rule;
    if (owner !== undefined) facts.owner = owner;
    throw exchangeRejection(facts, reason, message);
  }
  const session = outcome.value;
  facts.rule = session.provider;
  facts.owner = { account: session.account, identity: session.identity };
  const audience = audienceFor(deps.audiences, session, requested);
  if (audience === undefined) {
    facts.message = 'No rule lets this workload use that cluster. Ask your platform team.';
    facts.rejection = 'audience_unknown';
    throw new errors.InvalidTarget();
  }
  await respondWithToken(provider, ctx, { session, audience, resourceServer: deps.resourceServer, certificate });
}

/** Returns the requested audience, where it exists; without a request the first that the workload may have. */
function audienceFor(
  audiences: Audiences,
  holder: Pick<SessionRecord, 'provider' | 'identity'>,
  requested: string | undefined,
): string | undefined {
  return audiences.all.find((audience) =>
    requested === undefined ? audiences.allows(audience, holder) : audience === requested,
  );
}
