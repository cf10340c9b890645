/**
 * Tokens for web consoles: unbound, for one cluster, minutes long. They are minted through the same script as
 * every other token and never reach a browser: only the console gets them, with each request that a signed-in user
 * makes to it.
 *
 * An attacker who controls the console holds its visitors' tokens while they live. So a token is good for one
 * cluster, for five minutes, under a `client_id` that the api listener accepts unbound, and ends with the session.
 */
import { randomUUID } from 'node:crypto';
import { importJWK, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { atMost } from '../core/cache-bound.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Config, SigningKeys } from '../config/config.ts';
import { clusterAudience, consoleClient } from '../core/core.ts';
import type { Credential } from '../core/credential/credential.ts';
import { no, ok, type Result } from '../core/result.ts';
import { coveringKeys } from '../core/credential/revocation.ts';
import type { RevocationGuard, SessionEnds } from '../revocation/revocation.ts';
import { idleEndOf, type SessionStore } from '../store/store.ts';
import { SCOPE, type Audiences } from './audiences.ts';
import { mint } from './mint.ts';

/**
 * Seconds (docs/architecture.md#invariant-12). Shorter where `sessions.accessToken` is: an entry of the revocation
 * log must outlive every token that it covers.
 */
const LIFETIME_SECONDS = 300;
const MAX_TOKENS = 20_000;

export interface ConsoleToken {
  /** Compact JWS. Never logged. */
  readonly token: string;
  /** Its content, for the revocation guard. */
  readonly credential: Credential;
  readonly session: SessionEnds;
}

export interface ConsoleTokenRequest {
  readonly session: string;
  readonly console: { readonly name: string; readonly cluster: string };
}

export type ConsoleTokenRejection = 'session_over' | 'audience_refused';

/** Mints a token, or returns a cached one with at least half of its lifetime left. */
export type MintConsoleToken = (request: ConsoleTokenRequest) => Promise<Result<ConsoleToken, ConsoleTokenRejection>>;

export interface ConsoleTokenDeps {
  readonly config: Pick<Config, 'publicUrl'> & { readonly sessions: Pick<Config['sessions'], 'accessToken'> };
  readonly sessions: Pick<SessionStore, 'mint'>;
  readonly guard: Pick<RevocationGuard, 'check'>;
  readonly audiences: Pick<Audiences, 'allows' | 'delegationOver'>;
  /** The key that signs now. */
  readonly signingKey: () => SigningKeys['current'];
  readonly clock: Clock;
}

/**
 * Creates the cache of console tokens, one for each process. A page of a console makes a hundred requests; they
 * share a token, so that each does not cost a mint.
 */
export function createConsoleTokens(deps: ConsoleTokenDeps): MintConsoleToken {
  const tokens = new LRUCache<string, ConsoleToken>(atMost(MAX_TOKENS));
  const mints = new Map<string, Promise<Result<ConsoleToken, ConsoleTokenRejection>>>();
  const isFresh = ({ credential }: ConsoleToken): boolean => {
    const half = (credential.issuedAt + credential.expiresAt) / 2;
    return deps.clock.nowMs() / 1000 < half && deps.guard.check(credential) === undefined;
  };
  return async (request) => {
    const key = `${request.session} ${request.console.name}`;
    const known = tokens.get(key);
    if (known !== undefined && isFresh(known)) return ok(known);
    const running = mints.get(key) ?? mintConsoleToken(deps, request).finally(() => mints.delete(key));
    mints.set(key, running);
    const outcome = await running;
    if (outcome.ok) tokens.set(key, outcome.value);
    else tokens.delete(key);
    return outcome;
  };
}

const mintConsoleToken = (deps: ConsoleTokenDeps, { session, console }: ConsoleTokenRequest) =>
  mintUnboundToken(deps, {
    session,
    cluster: console.cluster,
    client: consoleClient(console.name),
    lifeSeconds: LIFETIME_SECONDS,
  });

/**
 * Mints a token that needs no key. Only for callers that keep it inside the server or are trusted with it: the api
 * listener accepts it by its client's name.
 */
export async function mintUnboundToken(
  deps: ConsoleTokenDeps,
  {
    session,
    cluster,
    client,
    lifeSeconds,
  }: { readonly session: string; readonly cluster: string; readonly client: string; readonly lifeSeconds: number },
): Promise<Result<ConsoleToken, ConsoleTokenRejection>> {
  const audience = clusterAudience(cluster);
  const decision = await mint(deps, { session, audience });
  // The script has rejected a bound session already: a token that needs a key cannot be turned into one that needs
  // none.
  if (!decision.ok) return no(decision.reason === 'audience_refused' ? decision.reason : 'session_over');
  const { claims, record } = decision;
  const issuedAt = Math.floor(deps.clock.nowMs() / 1000);
  const life = Math.min(lifeSeconds, deps.config.sessions.accessToken);
  const owner = { session: record.id, account: record.account, provider: record.provider };
  const credential: Credential = {
    ...owner,
    keys: coveringKeys(owner),
    tokenId: randomUUID(),
    audience,
    client,
    issuedAt,
    expiresAt: Math.min(issuedAt + life, record.expiresAt),
    position: { epoch: claims.ep, number: claims.ln },
  };
  const token = await sign(deps, credential, claims);
  const ends = { expiresAt: record.expiresAt, idleAt: idleEndOf(record) };
  return ok({ token, credential, session: ends });
}

/** Signs an access token (RFC 9068 §2) with our claims. No `cnf`: the console cannot hold the user's key. */
async function sign(deps: ConsoleTokenDeps, credential: Credential, claims: object): Promise<string> {
  const { kid, alg, privateJwk } = deps.signingKey();
  return new SignJWT({ ...claims, client_id: credential.client, scope: SCOPE })
    .setProtectedHeader({ alg, kid, typ: 'at+jwt' })
    .setIssuer(deps.config.publicUrl)
    .setSubject(credential.account)
    .setAudience(credential.audience)
    .setJti(credential.tokenId)
    .setIssuedAt(credential.issuedAt)
    .setExpirationTime(credential.expiresAt)
    .sign(await importJWK(privateJwk, alg));
}
