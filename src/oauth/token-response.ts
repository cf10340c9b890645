/**
 * Our additions to the token endpoint's responses (RFC 6749): for an accepted user, their identity here and their
 * clusters; for a rejected one, the reason in a message that a terminal can show; and 503 where a dependency is
 * unavailable.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { SELF_AUDIENCE } from '../core/core.ts';
import { AppError, programMessage } from '../core/errors.ts';
import { unprovenWarning, type FreshnessConfig } from '../core/identity/fresh-sign-in.ts';
import { clockSkewOf } from '../idp/provider-clock.ts';
import type { Audiences } from './audiences.ts';
import { isDelegated } from './delegated-grants.ts';
import { isWaiting } from './device-grant.ts';
import type { TokenAudit } from './audit-events.ts';
import type { TokenFacts } from './token-facts.ts';
import { defined } from '../core/defined.ts';

export interface TokenResponseDeps {
  readonly config: FreshnessConfig;
  readonly audiences: Audiences;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  readonly tokenAudit: TokenAudit;
  readonly apiCa?: string;
  /** `contact` of the configuration. */
  readonly contact: string;
  /**
   * Returns the message for a user whose session a rejection by their provider has ended, by the key that it was
   * bound to.
   */
  readonly endingMessage: (ctx: KoaContextWithOIDC) => Promise<string | undefined>;
}

/** Our member of a token response (RFC 6749 §5.1 allows a server to add members). */
interface PortcullisMember {
  readonly session: { readonly id: string; readonly expiresAt: string; readonly deviceName?: string };
  readonly account: string;
  readonly username: string;
  readonly groups: readonly string[];
  /** The cluster that the token is for; absent in a token for the admin API. */
  readonly cluster?: string;
  readonly clusters: readonly { readonly name: string; readonly server: string; readonly caData?: string }[];
  /** For an admin or approver who may be unable to prove a fresh sign-in. */
  readonly warning?: string;
}

type Body = Record<string, unknown> & { error?: string; error_description?: string };

export function tokenResponse(
  deps: TokenResponseDeps,
): (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void> {
  return async (ctx, next) => {
    await next();
    const facts = deps.factsOf(ctx);
    if (facts.serverError instanceof AppError) return unavailable(ctx, facts.serverError, deps);
    if (ctx.oidc?.route !== 'token' || typeof ctx.body !== 'object' || ctx.body === null) return;
    const body = ctx.body as Body;
    if (isWaiting(body.error)) return;
    const ended =
      body.error === 'invalid_grant' && facts.message === undefined ? await deps.endingMessage(ctx) : undefined;
    const message = facts.message ?? ended ?? rejectionMessage(body.error, facts, ctx);
    if (message !== undefined) body.error_description = message;
    if (ctx.status === 200 && facts.record !== undefined) {
      body['portcullis'] = member(deps, facts);
      deps.tokenAudit.minted(ctx, facts);
    } else if (body.error !== undefined && facts.audited !== true) {
      deps.tokenAudit.rejected(ctx, facts, body.error);
    }
  };
}

/**
 * Returns the message for the user at the terminal, in place of oidc-provider's, which are for programmers. The
 * plugin adds the command to type.
 */
function rejectionMessage(error: string | undefined, facts: TokenFacts, ctx: KoaContextWithOIDC): string | undefined {
  if (error === 'invalid_grant') {
    return 'This session is over: it was signed out, ended by an administrator, or has expired. Sign in again.';
  }
  if (error === 'expired_token') return 'The code was not entered in time. Sign in again for a new one.';
  if (error === 'invalid_target') {
    if (isDelegated(ctx)) {
      return 'This session was not delegated for that, or it may not be any more, and a delegated session never administers. Use your own session, or delegate again.';
    }
    if (ctx.oidc.params?.['resource'] === SELF_AUDIENCE && facts.rejection === undefined) {
      return 'Your sign-in is older than delegated sessions are here, so you cannot delegate from it. Sign in again.';
    }
    return facts.rejection === undefined
      ? 'There is no such cluster here, or it is newer than your sign-in. Sign in again.'
      : 'You may not use this cluster. Ask your platform team for access.';
  }
  return undefined;
}

function member(deps: TokenResponseDeps, facts: TokenFacts): PortcullisMember | undefined {
  const { record, audience } = facts;
  if (record === undefined) return undefined;
  const cluster = audience === undefined ? undefined : deps.audiences.clusterOf(audience);
  const warning = unprovenWarning(record, deps.config);
  return {
    session: {
      id: record.id,
      expiresAt: new Date(record.expiresAt * 1000).toISOString(),
      ...defined({ deviceName: record.deviceName }),
    },
    account: record.account,
    username: record.identity.username,
    groups: record.identity.groups,
    ...defined({ cluster: cluster?.name }),
    clusters: deps.audiences.clustersOf(record).map(({ name, publicUrl }) => ({
      name,
      server: publicUrl,
      ...defined({ caData: deps.apiCa }),
    })),
    ...(warning === undefined ? {} : { warning: `${warning} Find out now: portcullis step-up` }),
  };
}

/**
 * Store, revocation guard or provider unavailable: nothing was decided and nothing consumed, so the client may try
 * again. The exception is the last step of a sign-in.
 */
function unavailable(ctx: KoaContextWithOIDC, error: AppError, deps: TokenResponseDeps): void {
  const facts = deps.factsOf(ctx);
  if (facts.codeConsumed === true) {
    // A client that is told to try again would send a consumed code, and be taken for an attacker.
    ctx.status = 400;
    const error_description = 'Your sign-in could not be finished, and its code cannot be used again. Sign in again.';
    ctx.body = { error: 'invalid_grant', error_description };
    return deps.tokenAudit.rejected(ctx, { ...facts, rejection: error.reason }, 'invalid_grant');
  }
  ctx.status = 503;
  ctx.set('retry-after', '1');
  if (ctx.accepts('json', 'html') === 'html' && ctx.method === 'GET') return;
  const requestId = String(ctx.res.getHeader('x-request-id') ?? '');
  const error_description = error.needsOperator
    ? programMessage(error, { contact: deps.contact, requestId })
    : error.message;
  ctx.body = { error: 'temporarily_unavailable', error_description };
  if (ctx.oidc?.route === 'token') deps.tokenAudit.rejected(ctx, facts, error.reason, clockSkewOf(error));
}
