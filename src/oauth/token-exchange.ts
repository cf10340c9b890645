/**
 * Token exchange (RFC 8693) at our token endpoint: the form that its two kinds share. A workload exchanges its own
 * token (`workload/`), and a client of `delegation.clients` exchanges a user's (`delegation/`).
 */
import type { X509Certificate } from 'node:crypto';
import {
  errors,
  type KoaContextWithOIDC,
  type Provider,
  type ResourceServer,
  type TokenEndpointGrantContext,
} from 'oidc-provider';
import type { RateLimiter } from '../core/rate-limit.ts';
import type { SessionRecord } from '../store/store.ts';
import { SCOPE } from './audiences.ts';
import { clientAddress } from './client-address.ts';
import { ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE, WORKLOAD_CLIENT } from './grant-type.ts';
import type { TokenFacts } from './token-facts.ts';
import { defined } from '../core/defined.ts';

const PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'actor_token',
  'audience',
  'resource',
  'scope',
  'authorization_details',
] as const;

type Parameters = { readonly [K in (typeof PARAMETERS)[number]]?: unknown };
export type ExchangeContext = TokenEndpointGrantContext<Parameters>;

export type ExchangeHandler = (ctx: ExchangeContext) => Promise<void>;

/** The kinds that the configuration has; a client of the other is rejected. */
export interface ExchangeHandlers {
  readonly workload?: ExchangeHandler | undefined;
  readonly delegation?: ExchangeHandler | undefined;
}

export interface ExchangeLimits {
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  /**
   * Counts exchanges that were rejected, by address: `limits.signInsPerMinute`. A program in a loop is told to wait and, where it does, costs
   * nothing meanwhile.
   */
  readonly rejectionLimit: RateLimiter;
}

/** Registers the grant at the provider. To be called before its first request. */
export function registerTokenExchange(provider: Provider, handlers: ExchangeHandlers, limits: ExchangeLimits): void {
  // No parameter may be repeated: which of two audiences was meant would be unknown.
  provider.registerGrantType<Parameters>(
    TOKEN_EXCHANGE,
    async (ctx) => {
      const handler = ctx.oidc.client?.clientId === WORKLOAD_CLIENT ? handlers.workload : handlers.delegation;
      if (handler === undefined) throw new errors.UnauthorizedClient('this client may not exchange tokens');
      await withLimit(limits, ctx, handler);
    },
    PARAMETERS,
  );
}

/**
 * Exchanges, and limits the rejections of an address. All jobs of a company may come from one address, and an
 * attacker in one of them who sends invalid tokens would keep the others out. So the limit comes after the
 * decision: only requests that are rejected anyway are told to wait.
 */
async function withLimit(limits: ExchangeLimits, ctx: ExchangeContext, handler: ExchangeHandler): Promise<void> {
  try {
    await handler(ctx);
  } catch (error) {
    const decided = error instanceof errors.OIDCProviderError;
    const wait = decided ? limits.rejectionLimit.take(callerOf(ctx).address) : 0;
    if (wait === 0) throw error;
    const message = `Too many exchanges from your address were rejected. Try again in ${wait} seconds.`;
    respondTooMany(ctx, limits.factsOf(ctx), { message, seconds: wait });
  }
}

/** Rejects an exchange that may be tried again. @param wait with the whole `seconds` until then */
export function respondTooMany(
  ctx: ExchangeContext,
  facts: TokenFacts,
  { message, seconds }: { readonly message: string; readonly seconds: number },
): void {
  facts.rejection = 'too_many_exchanges';
  facts.message = message;
  ctx.status = 429;
  ctx.set('retry-after', String(seconds));
  ctx.body = { error: 'temporarily_unavailable', error_description: message };
}

/**
 * Reads what both kinds have in common.
 * @param types the values of `subject_token_type` that are accepted, the one to recommend first
 * @throws InvalidRequest, after the reason is in the facts
 */
export function readExchange(
  ctx: ExchangeContext,
  facts: TokenFacts,
  types: readonly unknown[],
): { readonly subjectToken: string; readonly requested: string | undefined } {
  const { subject_token, subject_token_type, requested_token_type, actor_token } = ctx.oidc.params;
  const invalid = (message: string): Error => exchangeRejection(facts, 'invalid_request', message);
  if (typeof subject_token !== 'string' || subject_token === '') throw invalid('subject_token is missing.');
  if (!types.includes(subject_token_type)) throw invalid(`subject_token_type must be ${String(types[0])}.`);
  if (requested_token_type !== undefined && requested_token_type !== ACCESS_TOKEN_TYPE) {
    throw invalid(`requested_token_type must be ${ACCESS_TOKEN_TYPE}, or left out.`);
  }
  if (actor_token !== undefined) throw invalid('actor_token is not supported: leave it out.');
  // A list is the library's own default, never the client's: a parameter that is repeated is rejected before.
  const named = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const [audience, resource] = [named(ctx.oidc.params.audience), named(ctx.oidc.params.resource)];
  // RFC 8693 §2.1 has both names; ours are the same under either.
  if (audience !== undefined && resource !== undefined && audience !== resource) {
    throw invalid('audience and resource differ; send one of them.');
  }
  return { subjectToken: subject_token, requested: resource ?? audience };
}

/** RFC 8693 §2.2.2: `invalid_request`, also for a subject token that is not accepted. */
export function exchangeRejection(facts: TokenFacts, reason: string, message: string): Error {
  facts.rejection = reason;
  facts.message = message;
  return new errors.InvalidRequest(message);
}

export interface ExchangedToken {
  readonly session: Pick<SessionRecord, 'id' | 'account'>;
  readonly audience: string;
  readonly resourceServer: (audience: string) => ResourceServer;
  /** Absent: it is bound to no key. */
  readonly certificate: X509Certificate | undefined;
  /** Seconds; absent: that of the resource server. */
  readonly expiresIn?: number;
  /** More members of the response. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** Issues the access token, through the same mint as every other, and responds with it (RFC 8693 §2.2.1). */
export async function respondWithToken(
  provider: Provider,
  ctx: ExchangeContext,
  { session, audience, resourceServer, certificate, expiresIn, members }: ExchangedToken,
): Promise<void> {
  const token = new provider.AccessToken({
    client: ctx.oidc.client,
    accountId: session.account,
    grantId: session.id,
    gty: TOKEN_EXCHANGE,
    scope: SCOPE,
    ...defined({ expiresIn }),
  });
  token.resourceServer = new provider.ResourceServer(audience, resourceServer(audience));
  if (certificate !== undefined) token.setThumbprint('x5t', certificate);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope: SCOPE,
    ...members,
  };
}

const USER_AGENT_LENGTH = 256;

/** Returns the caller's address and its name for itself, fit for display. */
export const callerOf = ({ req }: KoaContextWithOIDC): { readonly address: string; readonly userAgent: string } => ({
  address: clientAddress(req),
  userAgent: (req.headers['user-agent'] ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, USER_AGENT_LENGTH),
});
