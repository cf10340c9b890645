/** Audit events of the token and revocation endpoints. */
import { randomUUID } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../contracts/clock.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { portcullisEvent, type AuditFacts, type PortcullisEvent } from '../core/audit/event.ts';
import { auditedSession } from '../core/delegation/delegation.ts';
import type { RevocationFacts } from '../revocation/revocation.ts';
import type { SessionRecord } from '../store/store.ts';
import { clientAddress } from './client-address.ts';
import { DEVICE_CODE_GRANT, exchangeOf, type TokenFacts } from './token-facts.ts';
import { defined } from '../core/defined.ts';

export interface TokenAudit {
  minted(ctx: KoaContextWithOIDC, facts: TokenFacts): void;
  rejected(ctx: KoaContextWithOIDC, facts: TokenFacts, error: string, details?: AuditFacts): void;
  /** Audits an authorization request that failed before a sign-in, or a malformed revocation request. */
  requestRejected(ctx: KoaContextWithOIDC, error: string): void;
  /**
   * Audits that a device may not start a sign-in yet, because its address has started too many. Only the first in
   * a while gets an event.
   */
  tooManySignIns(ctx: KoaContextWithOIDC): void;
  identityChanged(ctx: KoaContextWithOIDC, record: SessionRecord): void;
  /** Returns the facts of a session whose user the provider rejects at a refresh, which `rejected` audits afterwards. */
  rejection(ctx: KoaContextWithOIDC, facts: TokenFacts): RevocationFacts;
  /** Returns the facts of the end of a session, for the event before it and for `sessionEnded`. */
  ending(session: string, record: SessionRecord | undefined, reason: SessionEnding): RevocationFacts;
  sessionEnded(facts: RevocationFacts, reason: SessionEnding): void;
}

/**
 * The reason why one of our endpoints ended a session: its own client asked for it, or something that may be used
 * once was used twice.
 */
export type SessionEnding = 'sign-out' | 'code-replayed' | 'refresh-token-replayed';

export interface TokenAuditDeps {
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly countRefresh: (outcome: 'ok' | 'refused' | 'unavailable') => void;
  /** Counts one rejected sign-in of an address. @returns how many to audit now; undefined: none */
  readonly tooManySignIns: (address: string) => number | undefined;
}

export function createTokenAudit(deps: TokenAuditDeps): TokenAudit {
  const write = (event: Omit<PortcullisEvent, 'auditId' | 'at'> & { readonly auditId?: string }): void =>
    deps.audit.record(portcullisEvent({ auditId: randomUUID(), ...event, at: deps.clock.nowMs() }));
  const isRefresh = (ctx: KoaContextWithOIDC): boolean => ctx.oidc.params?.['grant_type'] === 'refresh_token';
  const grantTypeOf = (ctx: KoaContextWithOIDC): string => {
    if (exchangeOf(ctx) !== undefined) return 'token_exchange';
    if (ctx.oidc.params?.['grant_type'] === DEVICE_CODE_GRANT) return 'device_code';
    return isRefresh(ctx) ? 'refresh_token' : 'authorization_code';
  };
  return {
    minted(ctx, facts) {
      if (isRefresh(ctx)) deps.countRefresh('ok');
      write({
        event: exchangeOf(ctx) === 'workload' ? 'workload-exchange' : 'refresh',
        ...requestFacts(ctx),
        ...about(facts.record),
        code: ctx.status,
        details: {
          ...delegated(facts.record),
          'grant-type': grantTypeOf(ctx),
          audience: facts.audience ?? '',
          ...clientOf(ctx),
        },
      });
    },
    rejected(ctx, facts, error, details = {}) {
      if (isRefresh(ctx)) deps.countRefresh(ctx.status === 503 ? 'unavailable' : 'refused');
      const rejection = rejectionFacts(ctx, facts, error);
      write({
        ...rejection,
        event: REFUSED[exchangeOf(ctx) ?? 'none'],
        code: ctx.status,
        details: { ...rejection.details, ...details },
      });
    },
    rejection: (ctx, facts) => rejectionFacts(ctx, facts),
    requestRejected(ctx, error) {
      write({
        event: 'sign-in-refused',
        ...requestFacts(ctx),
        code: ctx.status,
        reason: error,
        details: clientOf(ctx),
      });
    },
    tooManySignIns(ctx) {
      const count = deps.tooManySignIns(clientAddress(ctx.req));
      if (count === undefined) return;
      const details = { count: String(count) };
      write({ event: 'sign-in-refused', ...requestFacts(ctx), code: ctx.status, reason: 'too_many_sign_ins', details });
    },
    identityChanged(ctx, record) {
      write({
        event: 'identity-changed',
        ...requestFacts(ctx),
        ...about(record),
        code: 200,
        details: { version: String(record.version) },
      });
    },
    ending(session, record, reason) {
      const subject = record === undefined ? { session } : about(record);
      const requestUri = reason === 'sign-out' ? '/oauth/revoke' : '/oauth/token';
      const details = record === undefined ? {} : { ...delegated(record), client: record.client };
      const auditId = randomUUID();
      return { auditId, requestUri, sourceIps: [], ...subject, reason: reason.replaceAll('-', '_'), details };
    },
    sessionEnded(facts, reason) {
      write({ ...facts, event: reason === 'sign-out' ? 'logout' : 'revocation', code: 200 });
    },
  };
}

function rejectionFacts(ctx: KoaContextWithOIDC, facts: TokenFacts, error?: string): RevocationFacts {
  const record = facts.record ?? facts.user;
  const reason = facts.rejection ?? error;
  return {
    ...requestFacts(ctx),
    ...defined({ provider: facts.rule }),
    ...facts.owner,
    ...about(record),
    ...defined({ reason }),
    details: { ...delegated(record), ...clientOf(ctx) },
  };
}

const REFUSED = { workload: 'workload-refused', delegation: 'delegation-refused', none: 'refresh-refused' } as const;

/**
 * Returns the client, where it is one of ours: the audit log does not take a name that an unauthenticated client
 * gives itself.
 */
const clientOf = (ctx: KoaContextWithOIDC): Readonly<Record<string, string>> => {
  const client = ctx.oidc.entities.Client;
  return defined({ client: client?.clientId });
};

/**
 * The audit id is the request id of the response, so that the platform team finds the event by the id that a user
 * reports.
 */
export const requestFacts = ({
  req,
  res,
}: KoaContextWithOIDC): Pick<PortcullisEvent, 'auditId' | 'requestUri' | 'sourceIps' | 'userAgent'> => ({
  auditId: String(res.getHeader('x-request-id')),
  requestUri: (req.url ?? '').split('?', 1)[0] ?? '',
  sourceIps: [clientAddress(req)].filter((address) => address !== ''),
  ...defined({ userAgent: req.headers['user-agent'] }),
});

const about = (
  record: SessionRecord | undefined,
): Partial<Pick<PortcullisEvent, 'identity' | 'account' | 'session' | 'provider'>> => {
  if (record === undefined) return {};
  const { identity, account, provider } = record;
  return { identity, account, session: auditedSession(record).session, provider };
};

const delegated = (record: SessionRecord | undefined): AuditFacts =>
  record === undefined ? {} : auditedSession(record).details;
