/**
 * Token exchange (RFC 8693) at our token endpoint: the form of a request and of its response. `exchange.ts`
 * decides whose token it is and whether it opens a session; the access token goes through the same mint as every
 * other.
 */
import {
  errors,
  type KoaContextWithOIDC,
  type Provider,
  type ResourceServer,
  type TokenEndpointGrantContext,
} from 'oidc-provider';
import type { RateLimiter } from '../../core/rate-limit.ts';
import type { SessionRecord } from '../../store/store.ts';
import { SCOPE, type Audiences } from '../audiences.ts';
import { clientAddress } from '../client-address.ts';
import { certificateOf } from '../settings.ts';
import type { TokenFacts } from '../token-facts.ts';
import type { ExchangeWorkloadToken } from './exchange.ts';
import { ACCESS_TOKEN_TYPE, SUBJECT_TOKEN_TYPES, TOKEN_EXCHANGE } from './grant-type.ts';

const PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'actor_token',
  'audience',
  'resource',
] as const;

export interface WorkloadGrantDeps {
  readonly audiences: Audiences;
  readonly exchange: ExchangeWorkloadToken;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  readonly resourceServer: (audience: string) => ResourceServer;
  /**
   * Counts exchanges that were rejected, by address: `limits.signInsPerMinute`. A program in a loop is told to wait and, where it does, costs
   * nothing meanwhile.
   */
  readonly rejectionLimit: RateLimiter;
  /** `rule` is a configured name, `unknown` where none was found. */
  readonly countExchange: (rule: string, outcome: 'ok' | 'refused' | 'unavailable') => void;
}

type Parameters = { readonly [K in (typeof PARAMETERS)[number]]?: string | undefined };
type Context = TokenEndpointGrantContext<Parameters>;

/** Registers this grant at the provider. To be called before its first request. */
export function registerWorkloadGrant(provider: Provider, deps: WorkloadGrantDeps): void {
  // No parameter may be repeated: which of two audiences was meant would be unknown.
  provider.registerGrantType<Parameters>(TOKEN_EXCHANGE, (ctx) => exchangeWithLimit(provider, deps, ctx), PARAMETERS);
}

/**
 * Exchanges, and limits the rejections of an address. All jobs of a company may come from one address, and an
 * attacker in one of them who sends invalid tokens would keep the others out. So the limit comes after the
 * decision: only requests that are rejected anyway are told to wait.
 */
async function exchangeWithLimit(provider: Provider, deps: WorkloadGrantDeps, ctx: Context): Promise<void> {
  const facts = deps.factsOf(ctx);
  try {
    await exchange(provider, deps, ctx);
    deps.countExchange(facts.rule ?? 'unknown', 'ok');
  } catch (error) {
    const decided = error instanceof errors.OIDCProviderError;
    deps.countExchange(facts.rule ?? 'unknown', decided ? 'refused' : 'unavailable');
    const wait = decided ? deps.rejectionLimit.take(callerOf(ctx).address) : 0;
    if (wait === 0) throw error;
    tooMany(ctx, facts, wait);
  }
}

function tooMany(ctx: Context, facts: TokenFacts, wait: number): void {
  facts.rejection = 'too_many_exchanges';
  facts.message = `Too many exchanges from your address were rejected. Try again in ${wait} seconds.`;
  ctx.status = 429;
  ctx.set('retry-after', String(wait));
  ctx.body = { error: 'temporarily_unavailable', error_description: facts.message };
}

async function exchange(provider: Provider, deps: WorkloadGrantDeps, ctx: Context): Promise<void> {
  const facts = deps.factsOf(ctx);
  const { subjectToken, requested } = readRequest(ctx, facts);
  const certificate = certificateOf(ctx);
  if (certificate === undefined) {
    throw rejection(facts, 'certificate_missing', 'Connect with a client certificate: the token is bound to its key.');
  }
  const outcome = await deps.exchange({ subjectToken, ...callerOf(ctx) });
  if (!outcome.ok) {
    const { reason, message, rule, owner } = outcome.reason;
    if (rule !== undefined) facts.rule = rule;
    if (owner !== undefined) facts.owner = owner;
    throw rejection(facts, reason, message);
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
  const token = new provider.AccessToken({
    client: ctx.oidc.client,
    accountId: session.account,
    grantId: session.id,
    gty: TOKEN_EXCHANGE,
    scope: SCOPE,
  });
  token.resourceServer = new provider.ResourceServer(audience, deps.resourceServer(audience));
  token.setThumbprint('x5t', certificate);
  const accessToken = await token.save();
  ctx.body = {
    access_token: accessToken,
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope: SCOPE,
  };
}

function readRequest(
  ctx: Context,
  facts: TokenFacts,
): { readonly subjectToken: string; readonly requested: string | undefined } {
  const { subject_token, subject_token_type, requested_token_type, actor_token, audience, resource } = ctx.oidc.params;
  const invalid = (message: string): Error => rejection(facts, 'invalid_request', message);
  if (typeof subject_token !== 'string' || subject_token === '') throw invalid('subject_token is missing.');
  if (!SUBJECT_TOKEN_TYPES.includes(subject_token_type)) {
    throw invalid(`subject_token_type must be ${String(SUBJECT_TOKEN_TYPES[0])}.`);
  }
  if (requested_token_type !== undefined && requested_token_type !== ACCESS_TOKEN_TYPE) {
    throw invalid(`requested_token_type must be ${ACCESS_TOKEN_TYPE}, or left out.`);
  }
  if (actor_token !== undefined) throw invalid('actor_token is not supported: leave it out.');
  // RFC 8693 §2.1 has both names; ours are the same under either.
  if (audience !== undefined && resource !== undefined && audience !== resource) {
    throw invalid('audience and resource differ; send one of them.');
  }
  const requested = resource ?? audience;
  return { subjectToken: subject_token, requested: typeof requested === 'string' ? requested : undefined };
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

/** RFC 8693 §2.2.2: `invalid_request`, also for a subject token that is not accepted. */
function rejection(facts: TokenFacts, reason: string, message: string): Error {
  facts.rejection = reason;
  facts.message = message;
  return new errors.InvalidRequest(message);
}

const USER_AGENT_LENGTH = 256;

/** Returns the caller's address and its name for itself, fit for display. */
const callerOf = ({ req }: KoaContextWithOIDC): { readonly address: string; readonly userAgent: string } => ({
  address: clientAddress(req),
  userAgent: (req.headers['user-agent'] ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, USER_AGENT_LENGTH),
});
