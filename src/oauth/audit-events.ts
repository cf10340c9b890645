/** Entries of the record for what happens at the token and revocation endpoints. */
import { randomUUID } from 'node:crypto';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../contracts/clock.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { portcullisEvent, type AuditFacts, type PortcullisEvent } from '../core/audit/event.ts';
import type { SessionRecord } from '../store/store.ts';
import { clientAddress } from './client-address.ts';
import { DEVICE_CODE_GRANT, isExchange, type TokenFacts } from './token-facts.ts';

export interface TokenAudit {
  minted(ctx: KoaContextWithOIDC, facts: TokenFacts): void;
  rejected(ctx: KoaContextWithOIDC, facts: TokenFacts, error: string, details?: AuditFacts): void;
  /** An authorization request that did not come as far as a sign-in, or a revocation request that made no sense. */
  requestRejected(ctx: KoaContextWithOIDC, error: string): void;
  /** A device may not begin a sign-in yet, as its address has begun too many. Audited where it is the first for a while. */
  tooManySignIns(ctx: KoaContextWithOIDC): void;
  identityChanged(ctx: KoaContextWithOIDC, record: SessionRecord): void;
  sessionEnded(session: string, record: SessionRecord | undefined, reason: SessionEnding): void;
}

/** Why a session ended at one of our endpoints: its own client said so, or something that is good once came twice. */
export type SessionEnding = 'sign-out' | 'code-replayed' | 'refresh-token-replayed';

export interface TokenAuditDeps {
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly countRefresh: (outcome: 'ok' | 'refused' | 'unavailable') => void;
  /** Counts one. @returns how many of that address to audit now; undefined: none */
  readonly tooManySignIns: (address: string) => number | undefined;
}

export function createTokenAudit(deps: TokenAuditDeps): TokenAudit {
  const write = (event: Omit<PortcullisEvent, 'auditId' | 'at'> & { readonly auditId?: string }): void =>
    deps.audit.record(portcullisEvent({ auditId: randomUUID(), ...event, at: deps.clock.now() }));
  const isRefresh = (ctx: KoaContextWithOIDC): boolean => ctx.oidc.params?.['grant_type'] === 'refresh_token';
  const grantOf = (ctx: KoaContextWithOIDC): string => {
    if (isExchange(ctx)) return 'token_exchange';
    if (ctx.oidc.params?.['grant_type'] === DEVICE_CODE_GRANT) return 'device_code';
    return isRefresh(ctx) ? 'refresh_token' : 'authorization_code';
  };
  return {
    minted(ctx, facts) {
      if (isRefresh(ctx)) deps.countRefresh('ok');
      write({
        event: isExchange(ctx) ? 'workload-exchange' : 'refresh',
        ...from(ctx),
        ...about(facts.record),
        code: ctx.status,
        details: { grant: grantOf(ctx), audience: facts.audience ?? '', ...clientOf(ctx) },
      });
    },
    rejected(ctx, facts, error, details = {}) {
      if (isRefresh(ctx)) deps.countRefresh(ctx.status === 503 ? 'unavailable' : 'refused');
      write({
        event: isExchange(ctx) ? 'workload-refused' : 'refresh-refused',
        ...from(ctx),
        ...(facts.rule === undefined ? {} : { provider: facts.rule }),
        ...facts.owner,
        ...about(facts.record),
        code: ctx.status,
        reason: facts.rejection ?? error,
        details: { ...clientOf(ctx), ...details },
      });
    },
    requestRejected(ctx, error) {
      write({ event: 'sign-in-refused', ...from(ctx), code: ctx.status, reason: error, details: clientOf(ctx) });
    },
    tooManySignIns(ctx) {
      const count = deps.tooManySignIns(clientAddress(ctx.req));
      if (count === undefined) return;
      const details = { count: String(count) };
      write({ event: 'sign-in-refused', ...from(ctx), code: ctx.status, reason: 'too_many_sign_ins', details });
    },
    identityChanged(ctx, record) {
      write({
        event: 'identity-changed',
        ...from(ctx),
        ...about(record),
        code: 200,
        details: { version: String(record.version) },
      });
    },
    sessionEnded(session, record, reason) {
      const event = reason === 'sign-out' ? 'logout' : 'revocation';
      const subject = record === undefined ? { session } : about(record);
      const requestUri = reason === 'sign-out' ? '/oauth/revoke' : '/oauth/token';
      const details = record === undefined ? {} : { client: record.client };
      write({ event, requestUri, sourceIps: [], ...subject, code: 200, reason: reason.replaceAll('-', '_'), details });
    },
  };
}

/** The client, where it is one of ours: what a stranger calls itself is no fact for the record. */
const clientOf = (ctx: KoaContextWithOIDC): Readonly<Record<string, string>> => {
  const client = ctx.oidc.entities.Client;
  return client === undefined ? {} : { client: client.clientId };
};

/** The audit id is the request id that the answer carries, so that what a person reads out to the platform team finds the line. */
const from = ({
  req,
  res,
}: KoaContextWithOIDC): Pick<PortcullisEvent, 'auditId' | 'requestUri' | 'sourceIps' | 'userAgent'> => ({
  auditId: String(res.getHeader('x-request-id')),
  requestUri: (req.url ?? '').split('?', 1)[0] ?? '',
  sourceIps: [clientAddress(req)].filter((address) => address !== ''),
  ...(req.headers['user-agent'] === undefined ? {} : { userAgent: req.headers['user-agent'] }),
});

const about = (
  record: SessionRecord | undefined,
): Partial<Pick<PortcullisEvent, 'identity' | 'account' | 'session' | 'provider'>> =>
  record === undefined
    ? {}
    : { identity: record.identity, account: record.account, session: record.id, provider: record.provider };
